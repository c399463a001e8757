package main

import "time"

// endpoint is the scale endpoint of one keeper (internal/keep/scale.go): it looks at the pool when
// KEDA asks, and all groups share a look.
type endpoint struct {
	w     *simulation
	seen  []int         // by group: the jobs that wait or run
	at    time.Duration // of the last successful look
	known bool          // there was one
	next  time.Duration // no look before
}

const (
	lookFresh   = time.Second      // an older answer needs another look
	lookValid   = 30 * time.Second // an older answer is an error
	lookShare   = 3                // a look begins at the earliest this many times its duration after the last one
	lookMaxWait = 15 * time.Second // but not later, unless the server asks for it
)

// The keeper's calls for a look (docs/keep.md). measureLooks compares them with a real keeper's.
var (
	lookIdle = []call{getRequests} // no job waits or runs
	lookBusy = []call{getRequests, getAgents}
)

// answer is the number that KEDA gets for a group, and whether it gets one. The model leaves
// out that KEDA waits for a look.
func (e *endpoint) answer(group int) (n int, ok bool) {
	if !e.known || e.w.now-e.at > lookFresh && e.w.now >= e.next {
		e.look()
	}
	if !e.known || e.w.now-e.at > lookValid {
		return 0, false
	}
	return e.seen[group], true
}

// look looks at the pool.
func (e *endpoint) look() {
	w := e.w
	calls := lookIdle
	if len(w.waiting)+w.running() > 0 {
		calls = lookBusy
	}
	w.out.Looks++
	took := time.Duration(0)
	for _, c := range calls {
		t := w.charge(w.identityOf(keepIdentity), keepIdentity, c)
		e.next = max(e.next, w.now+t.RetryAfter)
		if took += roundTrip + t.Delay; t.Refuse || took > lookValid {
			return
		}
	}
	e.saw()
	e.next = max(e.next, w.now+min(lookShare*took, lookMaxWait))
}

// saw takes over what a look saw, or a poll of the keeper.
func (e *endpoint) saw() {
	e.at, e.known = e.w.now, true
	e.seen = e.seen[:0]
	for group := range e.w.Groups {
		waiting, running := e.w.jobsOf(group)
		e.seen = append(e.seen, waiting+running)
	}
}
