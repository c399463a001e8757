package keep

import (
	"sync"
	"time"
)

// LogEntry is something that the keeper did, or that happened to it.
type LogEntry struct {
	At      time.Time
	Pool    string
	Message string // "removed agent "x" (7): offline for 3h, ours"
	Failed  bool   // it failed, or something is wrong
}

// maxLog bounds what is remembered of them.
const maxLog = 100

// board is what the loops have seen and done, for those who look: the page and its
// listeners. It is safe for use by several goroutines.
type board struct {
	mu      sync.Mutex
	pools   []*poolState
	log     []LogEntry // the newest last
	changed chan struct{}
}

// poolState is what the feed holds of one pool.
type poolState struct {
	name         string
	snapshot     Snapshot      // At is zero until the pool was seen
	serverAhead  time.Duration // by how much the server's clock, which dates pictures, is ahead of ours
	lastErr      error         // why the last look failed; nil: it did not
	failingSince time.Time
	history      history
	lastActive   time.Time     // when its loop last did something
	pause        time.Duration // for how long it will do nothing
}

func newBoard(names []string, now time.Time) *board {
	f := &board{changed: make(chan struct{})}
	for _, name := range names {
		f.pools = append(f.pools, &poolState{name: name, lastActive: now})
	}
	return f
}

// update changes what is held, and wakes those who wait for it.
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

// view is a copy of the feed that does not change.
type view struct {
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

// view is what there is, and the channel that is closed when there is something
// else.
func (f *board) view(at time.Time) (view, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v view
	for _, r := range f.pools {
		now := at.Add(r.serverAhead)
		v.pools = append(v.pools, poolView{r.name, now, r.snapshot, r.lastErr, r.failingSince, r.history.last(maxSlots, now)})
	}
	for i := range f.log {
		v.log = append(v.log, f.log[len(f.log)-1-i])
	}
	return v, f.changed
}

// ready says that each pool was seen once.
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

// stuck names the first pool whose loop has not done what it should have, "" if
// there is none. A server that is away makes no loop stuck.
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
