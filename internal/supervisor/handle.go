package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/lifecycle"
)

// handle calls the loop of one agent. The loop itself answers, so a caller notices if the
// loop is stuck. A call before the start of the loop waits for it.
type handle struct {
	calls chan func(*runner)
	ended chan struct{} // closed at the end, when last is final
	last  control.Status
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

// call runs do in the loop, and returns the status after it. The error is ctx's.
func (h *handle) call(ctx context.Context, do func(*runner)) (control.Status, error) {
	answer := make(chan control.Status, 1) // buffered: the loop must not wait for the caller
	call := func(r *runner) {
		do(r)
		answer <- r.status()
	}
	select {
	case h.calls <- call:
		return <-answer, nil
	case <-h.ended:
		return h.last, nil
	case <-ctx.Done():
		return control.Status{}, ctx.Err()
	}
}

func (h *handle) status(ctx context.Context) (control.Status, error) {
	return h.call(ctx, func(*runner) {})
}

// next waits until the phase differs from phase or the run has ended, and returns the
// state.
func (h *handle) next(ctx context.Context, phase string) (control.Status, error) {
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
			return control.Status{}, ctx.Err()
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
func (h *handle) finish(last control.Status, e End) {
	last.End = &control.End{Code: e.Code, Why: e.Why}
	h.last = last
	close(h.ended)
}

// status is the agent's status. Only the loop may call it.
func (r *runner) status() control.Status {
	s := r.state
	pool := r.pool.Name
	if pool == "" {
		pool = r.o.Pool.Name
	}
	r.o.handle.mu.Lock()
	defer r.o.handle.mu.Unlock()
	status := control.Status{
		Phase: string(s.Phase), Since: r.o.handle.phaseSince, Ready: s.Phase == lifecycle.Idle || s.Phase == lifecycle.Busy,
		Registration: string(s.Registration), Agent: r.o.Name, AgentID: s.AgentID, Pool: pool, Job: string(s.Job), Jobs: s.Jobs, Reason: s.Reason,
	}
	if end := s.Deadline(); !end.IsZero() {
		status.Deadline = &end
	}
	return status
}
