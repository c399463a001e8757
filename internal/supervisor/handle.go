package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/lifecycle"
)

// Handle is how a running life is talked to. Every answer is the loop's own: as
// long as it does not come, the loop is stuck. It serves one life; its methods
// may be called at any time, also before that has begun, and wait until it has.
type Handle struct {
	calls chan func(*runner)
	ended chan struct{} // closed at the end, when last is final
	last  Snapshot

	mu           sync.Mutex
	phaseChanged chan struct{} // closed when the phase changes
	phaseSince   time.Time     // when it last did
}

// NewHandle makes the line of a life that is about to begin.
func NewHandle() *Handle {
	return &Handle{calls: make(chan func(*runner)), ended: make(chan struct{}), phaseChanged: make(chan struct{}), phaseSince: time.Now()}
}

// Snapshot is a life at one moment.
type Snapshot struct {
	Phase        lifecycle.Phase
	Since        time.Time // when the phase began
	Registration lifecycle.Registration
	Agent        string
	AgentID      int // 0: the server has not given one
	Pool         string
	Job          lifecycle.JobState
	Jobs         int       // received in this life
	Reason       string    // why it drains; empty while nobody asked
	Deadline     time.Time // when the grace period ends; zero while it does not run
	End          *End      // nil while the life lasts

	Each []Snapshot // of several lives that are this one; nil for one
}

// Ready says that the agent listens for jobs, or runs one; of several, that all
// do.
func (s Snapshot) Ready() bool {
	for _, e := range s.Each {
		if !e.Ready() {
			return false
		}
	}
	return s.Phase == lifecycle.Idle || s.Phase == lifecycle.Busy
}

// Status is the life as it is now. The error is ctx's.
func (l *Handle) Status(ctx context.Context) (Snapshot, error) {
	return l.call(ctx, func(*runner) {})
}

// Drain asks for a drain, and says where that led at once. Reason is for the
// log. Without clock the job may take as long as it takes; with it the platform
// has spoken, and the grace period runs from now, unless it did already. Asking
// again changes nothing else. The error is ctx's.
func (l *Handle) Drain(ctx context.Context, reason string, clock bool) (Snapshot, error) {
	return l.call(ctx, func(r *runner) {
		r.log.Info("Heard a request to drain", "reason", reason, "grace_period_runs", clock, "phase", r.state.Phase)
		r.step(lifecycle.DrainRequested{Reason: reason, WithDeadline: clock})
	})
}

// DrainBy is Drain for a platform that has said when it will end the machine: all
// is over before that, unless a grace period that runs already ends sooner. Zero
// is a platform that may do so at any moment: the grace period runs. The error is
// ctx's.
func (l *Handle) DrainBy(ctx context.Context, reason string, end time.Time) (Snapshot, error) {
	return l.call(ctx, func(r *runner) {
		ask := lifecycle.DrainRequested{Reason: reason, WithDeadline: true}
		if !end.IsZero() {
			ask.Grace = max(time.Until(end).Truncate(time.Second), minNotice)
		}
		r.step(ask)
	})
}

// minNotice leaves time for one request to remove the agent.
const minNotice = time.Second

// Next is the life as soon as it is in another phase than this one, or has
// ended. A phase that passes in an instant may be missed. The error is ctx's.
func (l *Handle) Next(ctx context.Context, phase lifecycle.Phase) (Snapshot, error) {
	for {
		moved := l.phaseChange() // before the look, so that no move is missed
		s, err := l.Status(ctx)
		if err != nil || s.Phase != phase || s.End != nil {
			return s, err
		}
		select {
		case <-moved:
		case <-l.ended:
		case <-ctx.Done():
			return Snapshot{}, ctx.Err()
		}
	}
}

// call lets the loop do something, and then say how it is.
func (l *Handle) call(ctx context.Context, do func(*runner)) (Snapshot, error) {
	answer := make(chan Snapshot, 1) // the loop waits for nobody
	ask := func(r *runner) {
		do(r)
		answer <- r.snapshot()
	}
	select {
	case l.calls <- ask:
		return <-answer, nil
	case <-l.ended:
		return l.last, nil
	case <-ctx.Done():
		return Snapshot{}, ctx.Err()
	}
}

func (l *Handle) phaseChange() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phaseChanged
}

// notePhase is the loop's word of a step.
func (l *Handle) notePhase(before, after lifecycle.Phase) {
	if before == after {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.phaseChanged)
	l.phaseChanged, l.phaseSince = make(chan struct{}), time.Now()
}

// finish is the loop's last word.
func (l *Handle) finish(last Snapshot, e End) {
	last.End = &e
	l.last = last
	close(l.ended)
}

// snapshot is for the loop alone.
func (r *runner) snapshot() Snapshot {
	s := r.state
	pool := r.pool.Name
	if pool == "" {
		pool = r.o.PoolName
	}
	r.o.Handle.mu.Lock()
	defer r.o.Handle.mu.Unlock()
	return Snapshot{
		Phase: s.Phase, Since: r.o.Handle.phaseSince, Registration: s.Registration,
		Agent: r.o.Name, AgentID: s.AgentID, Pool: pool, Job: s.Job, Jobs: s.Jobs,
		Reason: s.Reason, Deadline: s.Deadline(),
	}
}
