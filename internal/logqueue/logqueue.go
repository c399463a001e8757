// Package logqueue writes a log for a reader who may be slow, stuck or gone. The
// code that logs never waits for that reader.
//
// A pipe that nobody reads is full after 64 KiB, and then blocks the next
// write: a log driver that hangs, or Ctrl-S at a terminal, would stop azptend in the
// middle of a drain. So lines wait in memory, up to a bound. What does not fit is
// dropped and counted, and the count is reported where the lines would have been.
package logqueue

import (
	"io"
	"sync"
	"time"
)

const (
	// maxWaiting is how many bytes may wait.
	maxWaiting = 1 << 20
	// lineOverhead is what a line costs besides its bytes.
	lineOverhead = 64
	// flushTimeout bounds a flush. A drain may end a fifth of a second before the
	// platform kills the process, so a flush ends sooner if the reader takes nothing.
	flushTimeout = time.Second
	// stuckTimeout is how long a flush waits for the next line to be taken.
	stuckTimeout = 150 * time.Millisecond
)

// Queue is a writer of whole lines, one each Write. It is safe for use by several
// goroutines. Until Begin it writes at once, like any other writer.
type Queue struct {
	w io.Writer

	mu      sync.Mutex
	started bool
	report  func(dropped int) []byte
	waiting []entry
	used    int           // of room
	wake    chan struct{} // holds one token while there may be something to write
	written chan struct{} // closed and replaced after each entry that was written
	midLine bool          // the last write did not end with a newline
}

// entry is a line, or, where line is nil, the place of some that were dropped.
type entry struct {
	line    []byte
	dropped int
}

func (e entry) cost() int { return len(e.line) + lineOverhead }

// New makes a queue in front of w.
func New(w io.Writer) *Queue {
	return &Queue{w: w, wake: make(chan struct{}, 1), written: make(chan struct{})}
}

// Start starts the queue: from now on no Write waits for the reader. It returns
// at once. Further calls do nothing.
func (q *Queue) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		q.started = true
		go q.run()
	}
}

// OnDrop says what is written in the place of lines that were dropped.
func (q *Queue) OnDrop(report func(dropped int) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.report = report
}

// Write takes a line. It never fails for a queue that has begun.
func (q *Queue) Write(line []byte) (int, error) { return q.write(line, maxWaiting) }

// LowPriority writes to the same queue, and uses at most half of its room. It is for
// lines that may come in any amount, like the output of a program.
func (q *Queue) LowPriority() io.Writer { return lowPriority{q} }

type lowPriority struct{ q *Queue }

func (m lowPriority) Write(line []byte) (int, error) { return m.q.write(line, maxWaiting/2) }

func (q *Queue) write(line []byte, most int) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		return q.w.Write(line)
	}
	e := entry{line: append([]byte{}, line...)}
	if q.used > 0 && q.used+e.cost() > most {
		q.drop()
		return len(line), nil
	}
	q.used += e.cost()
	q.append(e)
	return len(line), nil
}

func (q *Queue) drop() {
	if last := len(q.waiting) - 1; last >= 0 && q.waiting[last].line == nil {
		q.waiting[last].dropped++
		return
	}
	q.append(entry{dropped: 1})
}

func (q *Queue) append(e entry) {
	q.waiting = append(q.waiting, e)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes what waits, until the process ends.
func (q *Queue) run() {
	for range q.wake {
		for q.writeNext() {
		}
	}
}

// writeNext writes the first entry, if there is one. It takes up room until it is
// written.
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
		_, _ = q.w.Write(text) // a reader who has gone is no reason to stop
		q.midLine = text[len(text)-1] != '\n'
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= q.waiting[0].cost()
	q.waiting[0] = entry{} // its line is free
	q.waiting = q.waiting[1:]
	close(q.written)
	q.written = make(chan struct{})
	return true
}

// Flush waits until everything in the queue has been written, and says whether it
// was. It gives up if the reader takes nothing for stuckAfter, and after flushWithin.
func (q *Queue) Flush() bool {
	end := time.NewTimer(flushTimeout)
	defer end.Stop()
	for {
		q.mu.Lock()
		empty, taken := len(q.waiting) == 0, q.written
		q.mu.Unlock()
		if empty {
			return true
		}
		stuck := time.NewTimer(stuckTimeout)
		select {
		case <-taken:
			stuck.Stop()
		case <-stuck.C:
			return false
		case <-end.C:
			stuck.Stop()
			return false
		}
	}
}
