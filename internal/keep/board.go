package keep

import (
	"sync"
	"time"
)

// LogEntry is one line of the keeper's log on the page.
type LogEntry struct {
	At      time.Time
	Pool    string
	Message string // "removed agent "x" (7): offline for 3h, registered by azptend"
	Failed  bool   // it failed, or something is wrong
}

// maxLog limits the number of remembered entries.
const maxLog = 100

// board holds what the loops have seen and done, for the page and its event streams. It
// is safe for use by several goroutines.
type board struct {
	url string // the organisation's

	mu      sync.Mutex
	pools   []*poolState
	log     []LogEntry // the newest last
	changed chan struct{}
}

// poolState is one pool on the board.
type poolState struct {
	name         string
	snapshot     Snapshot      // At is zero until the pool was seen
	serverAhead  time.Duration // how far the server's clock, which dates snapshots, is ahead of ours
	lastErr      error         // why the last look failed; nil: it did not
	failingSince time.Time
	history      history
	lastActive   time.Time     // when its loop last did something
	pause        time.Duration // for how long it will do nothing
}

func newBoard(url string, names []string, now time.Time) *board {
	f := &board{url: url, changed: make(chan struct{})}
	for _, name := range names {
		f.pools = append(f.pools, &poolState{name: name, lastActive: now})
	}
	return f
}

// update changes the board, and wakes those who wait for a change.
func (f *board) update(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *board) record(d LogEntry) {
	f.update(func() {
		f.log = append(f.log, d)
		if len(f.log) > maxLog {
			f.log = append([]LogEntry(nil), f.log[1:]...)
		}
	})
}

// view is a copy of the board that does not change.
type view struct {
	url   string // the organisation's
	pools []poolView
	log   []LogEntry // the newest first
}

type poolView struct {
	name         string
	now          time.Time // by the server's clock
	snapshot     Snapshot
	lastErr      error
	failingSince time.Time
	slots        []Slot
}

// view returns a copy, and a channel that is closed at the next change.
func (f *board) view(at time.Time) (view, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := view{url: f.url}
	for _, r := range f.pools {
		now := at.Add(r.serverAhead)
		v.pools = append(v.pools, poolView{r.name, now, r.snapshot, r.lastErr, r.failingSince, r.history.last(maxSlots, now)})
	}
	for i := range f.log {
		v.log = append(v.log, f.log[len(f.log)-1-i])
	}
	return v, f.changed
}

// ready says whether every pool was seen at least once.
func (f *board) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.pools {
		if r.snapshot.At.IsZero() {
			return false
		}
	}
	return true
}

// stuckAfter is how long a look and what follows from it may take before the loop
// counts as stuck: each request ends by itself before that.
const stuckAfter = 15 * time.Minute

// stuck names the first pool whose loop has stopped, "" if there is none. A server that
// does not answer stops no loop.
func (f *board) stuck(now time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.pools {
		if now.Sub(r.lastActive) > r.pause+stuckAfter {
			return r.name
		}
	}
	return ""
}
