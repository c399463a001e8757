package main

import (
	"container/heap"
	"time"
)

// events are what is yet to happen, in virtual time. What is due at the same time
// happens in the order in which it was asked for: a run depends on its seed alone.
type events struct {
	now   time.Duration
	queue eventQueue
	asked int
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

// after has do happen once d has passed.
func (e *events) after(d time.Duration, do func()) {
	e.asked++
	heap.Push(&e.queue, event{e.now + max(d, 0), e.asked, do})
}

// run lets happen what there is until over says so, or nothing is left.
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
