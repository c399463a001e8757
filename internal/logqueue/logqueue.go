// Package logqueue writes a log in the background, because its reader may be slow, stuck or
// gone. Code that logs never waits for that reader.
//
// A pipe that nobody reads is full after 64 KiB, and then blocks the next write. A log driver
// that hangs, or Ctrl-S at a terminal, would stop azptend in the middle of a drain. So lines
// are queued in memory, up to a limit. Further lines are dropped and counted, and a line with
// the count replaces them.
package logqueue

import (
	"io"
	"sync"
	"time"
)

const (
	// maxWaiting is the maximum size of the queue in bytes.
	maxWaiting = 1 << 20
	// lineOverhead is added to the size of each line.
	lineOverhead = 64
	// flushTimeout bounds Flush.
	flushTimeout = time.Second
	// stuckTimeout is how long Flush waits until the next line is written. It is short,
	// because a drain may end a fifth of a second before the platform kills the process.
	stuckTimeout = 150 * time.Millisecond
)

// Queue is a writer of whole lines, one for each Write. It is safe for concurrent use. Before
// Start it writes at once.
type Queue struct {
	w io.Writer

	mu      sync.Mutex
	started bool
	report  func(dropped int) []byte
	waiting []entry
	used    int           // of maxWaiting
	wake    chan struct{} // has a token if there may be something to write
	written chan struct{} // closed and replaced after each entry that was written
	midLine bool          // the last write did not end with a newline
}

// entry is a line. If line is nil, it is the place of lines that were dropped.
type entry struct {
	line    []byte
	dropped int
}

// New makes a queue in front of w.
func New(w io.Writer) *Queue {
	return &Queue{w: w, wake: make(chan struct{}, 1), written: make(chan struct{})}
}

// Start starts the queue: from now on Write does not wait for the reader. Further calls have
// no effect.
func (q *Queue) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		q.started = true
		go func() {
			for range q.wake {
				for q.writeNext() {
				}
			}
		}()
	}
}

// OnDrop sets the function that returns the line about dropped lines.
func (q *Queue) OnDrop(report func(dropped int) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.report = report
}

// Write adds a line. After Start it never fails.
func (q *Queue) Write(line []byte) (int, error) { return limited{q, maxWaiting}.Write(line) }

// LowPriority returns a writer to the same queue that uses at most half of its size. It is for
// any number of lines, such as the output of a program.
func (q *Queue) LowPriority() io.Writer { return limited{q, maxWaiting / 2} }

// limited writes to a queue, and drops lines if the queue would exceed the limit.
type limited struct {
	q     *Queue
	limit int
}

func (l limited) Write(line []byte) (int, error) {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		return q.w.Write(line)
	}
	cost, last := len(line)+lineOverhead, len(q.waiting)-1
	switch {
	case q.used == 0 || q.used+cost <= l.limit:
		q.used += cost
		q.waiting = append(q.waiting, entry{line: append([]byte{}, line...)})
	case last >= 0 && q.waiting[last].line == nil:
		q.waiting[last].dropped++
	default:
		q.waiting = append(q.waiting, entry{dropped: 1})
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// writeNext writes the first entry, and reports whether there was one. The entry counts as
// used until it is written.
func (q *Queue) writeNext() bool {
	q.mu.Lock()
	if len(q.waiting) == 0 {
		q.mu.Unlock()
		return false
	}
	e, report := q.waiting[0], q.report
	if e.line == nil { // more may be dropped while this is reported
		q.waiting[0] = entry{line: []byte{}}
		q.used += lineOverhead
	}
	q.mu.Unlock()

	text := e.line
	if text == nil && report != nil {
		text = report(e.dropped)
		if q.midLine && len(text) > 0 {
			text = append([]byte("\n"), text...)
		}
	}
	if len(text) > 0 {
		_, _ = q.w.Write(text) // ignore errors: the reader may be gone
		q.midLine = text[len(text)-1] != '\n'
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= len(q.waiting[0].line) + lineOverhead
	q.waiting[0] = entry{} // frees the line
	q.waiting = q.waiting[1:]
	close(q.written)
	q.written = make(chan struct{})
	return true
}

// Flush waits until the queue is empty, and reports whether it is. It gives up if no line was
// written for stuckTimeout, and after flushTimeout.
func (q *Queue) Flush() bool {
	end := time.NewTimer(flushTimeout)
	defer end.Stop()
	for {
		q.mu.Lock()
		empty, written := len(q.waiting) == 0, q.written
		q.mu.Unlock()
		if empty {
			return true
		}
		stuck := time.NewTimer(stuckTimeout)
		select {
		case <-written:
			stuck.Stop()
		case <-stuck.C:
			return false
		case <-end.C:
			stuck.Stop()
			return false
		}
	}
}
