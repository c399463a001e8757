package emulator

import (
	"maps"
	"time"
)

// Now is the emulator's clock: Options.Now plus what Advance added.
func (e *Emulator) Now() time.Time {
	return e.opts.Now().Add(time.Duration(e.offset.Load())).UTC()
}

// Advance moves the clock forward by d; sessions, locks and tokens that expire by then do so before it returns.
func (e *Emulator) Advance(d time.Duration) {
	defer e.change()()
	e.offset.Add(int64(d))
}

// Elapse is Advance with all sessions polled and all jobs renewed in the meantime. Tokens get old.
func (e *Emulator) Elapse(d time.Duration) {
	defer e.change()()
	for _, s := range e.sessions {
		s.lastSeen = s.lastSeen.Add(d)
	}
	for _, j := range e.jobs {
		if !j.lockedUntil.IsZero() {
			j.lockedUntil = j.lockedUntil.Add(d)
		}
	}
	e.offset.Add(int64(d))
}

// settle applies what follows from a change: sessions and locks that have lapsed expire, free agents get waiting jobs,
// the timer is set for the next thing that lapses, and waiting calls look again. Call it with mu held.
func (e *Emulator) settle() {
	e.expire()
	e.assign()
	e.recordSnapshot()
	e.setTimer()
	if e.dirty {
		e.dirty = false
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// expire ends sessions that are not polled, and jobs whose lock has lapsed.
func (e *Emulator) expire() {
	now := e.Now()
	for _, s := range e.sessions {
		if s.polls == 0 && !now.Before(s.lastSeen.Add(e.sessionLife())) {
			e.endSession(s, EventSessionExpired)
		}
	}
	for _, j := range e.jobs {
		if j.agent != nil && j.result == "" && !now.Before(j.lockedUntil) {
			e.finish(j, "abandoned")
		}
	}
	maps.DeleteFunc(e.assertions, func(_ string, until time.Time) bool { return now.After(until) })
}

// setTimer arranges for settle to run when the next session or lock lapses. With an Options.Now that does not move
// by itself the timer only looks and sets itself again.
func (e *Emulator) setTimer() {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, s := range e.sessions {
		if s.polls == 0 {
			sooner(s.lastSeen.Add(e.sessionLife()))
		}
	}
	for _, j := range e.jobs {
		if j.agent != nil && j.result == "" {
			sooner(j.lockedUntil)
		}
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	if next.IsZero() || e.closed {
		return
	}
	e.timer = time.AfterFunc(max(next.Sub(e.Now()), time.Millisecond), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.closed {
			e.settle()
		}
	})
}
