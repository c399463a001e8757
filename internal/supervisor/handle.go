package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/lifecycle"
)

// Snapshot is the state of an agent, or of all agents of a Group, at one moment.
type Snapshot struct {
	Phase        lifecycle.Phase
	Since        time.Time // when the phase began
	Registration lifecycle.Registration
	Agent        string
	AgentID      int // 0: the server has not assigned one
	Pool         string
	Job          lifecycle.JobState
	Jobs         int       // received so far
	Reason       string    // why it drains; empty before
	Deadline     time.Time // when the grace period ends; zero before it starts
	End          *End      // nil before the end

	Each []Snapshot // of each agent of a group of several; nil for one agent
}

// Ready reports whether the agent listens for jobs or runs one. For a group it reports
// whether all agents do.
func (s Snapshot) Ready() bool {
	for _, e := range s.Each {
		if !e.Ready() {
			return false
		}
	}
	return s.Phase == lifecycle.Idle || s.Phase == lifecycle.Busy
}

// handle calls the loop of one agent. The loop itself answers, so a caller notices if the
// loop is stuck. A call before the start of the loop waits for it.
type handle struct {
	calls chan func(*runner)
	ended chan struct{} // closed at the end, when last is final
	last  Snapshot
	// stillLocked would unlock the agent's directory. It is never called, because a
	// goroutine may still change the directory. The reference keeps Go from closing the
	// lock's file, so the directory stays locked until the process exits.
	stillLocked func()

	mu           sync.Mutex
	phaseChanged chan struct{} // closed and replaced when the phase changes
	phaseSince   time.Time
}

func newHandle() *handle {
	return &handle{calls: make(chan func(*runner)), ended: make(chan struct{}), phaseChanged: make(chan struct{}), phaseSince: time.Now()}
}

// call runs do in the loop, and returns the state after it. The error is ctx's.
func (h *handle) call(ctx context.Context, do func(*runner)) (Snapshot, error) {
	answer := make(chan Snapshot, 1) // buffered: the loop must not wait for the caller
	call := func(r *runner) {
		do(r)
		answer <- r.snapshot()
	}
	select {
	case h.calls <- call:
		return <-answer, nil
	case <-h.ended:
		return h.last, nil
	case <-ctx.Done():
		return Snapshot{}, ctx.Err()
	}
}

func (h *handle) status(ctx context.Context) (Snapshot, error) {
	return h.call(ctx, func(*runner) {})
}

// next waits until the phase differs from phase or the run has ended, and returns the
// state.
func (h *handle) next(ctx context.Context, phase lifecycle.Phase) (Snapshot, error) {
	for {
		h.mu.Lock()
		changed := h.phaseChanged // before status, so that no change is missed
		h.mu.Unlock()
		s, err := h.status(ctx)
		if err != nil || s.Phase != phase || s.End != nil {
			return s, err
		}
		select {
		case <-changed:
		case <-h.ended:
		case <-ctx.Done():
			return Snapshot{}, ctx.Err()
		}
	}
}

// notePhase is called by the loop at each step.
func (h *handle) notePhase(before, after lifecycle.Phase) {
	if before == after {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.phaseChanged)
	h.phaseChanged, h.phaseSince = make(chan struct{}), time.Now()
}

// finish is called by the loop at its end.
func (h *handle) finish(last Snapshot, e End) {
	last.End = &e
	h.last = last
	close(h.ended)
}

// snapshot is the runner's state. Only the loop may call it.
func (r *runner) snapshot() Snapshot {
	s := r.state
	pool := r.pool.Name
	if pool == "" {
		pool = r.o.Pool.Name
	}
	r.o.handle.mu.Lock()
	defer r.o.handle.mu.Unlock()
	return Snapshot{
		Phase: s.Phase, Since: r.o.handle.phaseSince, Registration: s.Registration,
		Agent: r.o.Name, AgentID: s.AgentID, Pool: pool, Job: s.Job, Jobs: s.Jobs,
		Reason: s.Reason, Deadline: s.Deadline(),
	}
}
