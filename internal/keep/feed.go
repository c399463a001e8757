package keep

import (
	"sync"
	"time"
)

// Deed is something that the keeper did, or that happened to it.
type Deed struct {
	At   time.Time
	Pool string
	What string // "removed agent "x" (7): offline for 3h, ours"
	Bad  bool   // it failed, or something is wrong
}

// maxDeeds bounds what is remembered of them.
const maxDeeds = 100

// feed is what the loops have seen and done, for those who look: the page and its
// listeners. It is safe for use by several goroutines.
type feed struct {
	mu      sync.Mutex
	pools   []*room
	deeds   []Deed // the newest last
	changed chan struct{}
}

// room is what the feed holds of one pool.
type room struct {
	name    string
	picture Picture       // At is zero until the pool was seen
	ahead   time.Duration // by how much the server's clock, which dates pictures, is ahead of ours
	away    error         // why the last look failed; nil: it did not
	since   time.Time
	history history
	beat    time.Time     // when its loop last did something
	pause   time.Duration // for how long it will do nothing
}

func newFeed(names []string, now time.Time) *feed {
	f := &feed{changed: make(chan struct{})}
	for _, name := range names {
		f.pools = append(f.pools, &room{name: name, beat: now})
	}
	return f
}

// change changes what is held, and wakes those who wait for it.
func (f *feed) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *feed) did(d Deed) {
	f.change(func() {
		f.deeds = append(f.deeds, d)
		if len(f.deeds) > maxDeeds {
			f.deeds = append([]Deed(nil), f.deeds[1:]...)
		}
	})
}

// view is a copy of the feed that does not change.
type view struct {
	pools []poolView
	deeds []Deed // the newest first
}

type poolView struct {
	name    string
	now     time.Time // by the server's clock
	picture Picture
	away    error
	since   time.Time
	slots   []Slot
}

// now is what there is, and the channel that is closed when there is something
// else.
func (f *feed) now(at time.Time) (view, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v view
	for _, r := range f.pools {
		now := at.Add(r.ahead)
		v.pools = append(v.pools, poolView{r.name, now, r.picture, r.away, r.since, r.history.last(slots, now)})
	}
	for i := range f.deeds {
		v.deeds = append(v.deeds, f.deeds[len(f.deeds)-1-i])
	}
	return v, f.changed
}

// ready says that each pool was seen once.
func (f *feed) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.pools {
		if r.picture.At.IsZero() {
			return false
		}
	}
	return true
}

// patience is how long a look and what follows from it may take before the loop
// counts as stuck: each request ends by itself before that.
const patience = 15 * time.Minute

// stuck names the first pool whose loop has not done what it should have, "" if
// there is none. A server that is away makes no loop stuck.
func (f *feed) stuck(now time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.pools {
		if now.Sub(r.beat) > r.pause+patience {
			return r.name
		}
	}
	return ""
}
