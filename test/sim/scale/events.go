package main

import (
	"container/heap"
	"time"
)

// events is the queue of future events, in virtual time. Events at the same time happen in
// the order in which they were added, so that a simulation depends only on its seed.
type events struct {
	now   time.Duration
	queue eventQueue
	added int
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

// after calls do when d has passed.
func (e *events) after(d time.Duration, do func()) {
	e.added++
	heap.Push(&e.queue, event{e.now + max(d, 0), e.added, do})
}

// run runs events until over returns true or none is left.
func (e *events) run(over func() bool) {
	for len(e.queue) > 0 && !over() {
		next := heap.Pop(&e.queue).(event)
		e.now = next.at
		next.do()
	}
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
