package supervisor

import (
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/lifecycle"
)

// times are how long each part of the start took.
type times struct {
	started        time.Time // the process; of a later start, its first call
	token          time.Duration
	pool           time.Duration
	key            time.Duration // beside the others, like folder
	dir            time.Duration
	register       time.Duration
	launch         time.Duration
	launched       time.Time
	drainRequested time.Time // when the end was asked for
}

// startAt says when a start began, where that is not known yet.
func (t *times) startAt(at time.Time) {
	if t.started.IsZero() {
		t.started = at
	}
}

// parts are the same by the names of the log's keys, for an agent that is ready now.
func (t *times) parts(now time.Time) map[string]time.Duration {
	return map[string]time.Duration{
		"token": t.token, "pool": t.pool, "key": t.key, "folder": t.dir, "register": t.register, "launch": t.launch,
		"session": now.Sub(t.launched), "total": now.Sub(t.started),
	}
}

func ms(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// reportReady is the one line by which an agent's start can be judged.
func (r *runner) reportReady(witness string) {
	if r.times.launched.IsZero() {
		return
	}
	now := time.Now()
	r.log.Info("The agent is ready",
		"agent", r.o.Name, "agent_id", r.state.AgentID, "pool", r.pool.Name, "witness", witness,
		"token_ms", ms(r.times.token), "pool_ms", ms(r.times.pool), "key_ms", ms(r.times.key),
		"folder_ms", ms(r.times.dir), "register_ms", ms(r.times.register), "launch_ms", ms(r.times.launch),
		"session_ms", ms(now.Sub(r.times.launched)),
		"to_launch_ms", ms(r.times.launched.Sub(r.times.started)), "total_ms", ms(now.Sub(r.times.started)))
	r.o.Observer.Ready(r.times.parts(now))
	r.sessionWaitReported = false
	r.times = times{drainRequested: r.times.drainRequested} // another start is measured from its own beginning
}

func (r *runner) jobStarted(job string)  { r.log.Info("A job started", "job", job) }
func (r *runner) jobFinished(job string) { r.log.Info("A job finished", "job", job) }

// report says what a step changed.
func (r *runner) report(before, after lifecycle.State, e lifecycle.Event) {
	r.reportFailure(e, after)
	if before.Reason == "" && after.Reason != "" {
		r.times.drainRequested = time.Now()
		r.log.Info("Asked to end", "reason", after.Reason, "phase", before.Phase, "job", after.Job)
	}
	if before.Deadline() != after.Deadline() {
		b := after.Budget()
		r.log.Info("The grace period runs", "until", after.Deadline().UTC().Format(time.RFC3339),
			"drain", b.Drain.String(), "stop", b.Stop.String(), "remove", b.Remove.String())
	}
	r.reportWaiting(e)
	if before.Registration != lifecycle.Registered && after.Registration == lifecycle.Registered {
		r.reportRegistered(after.AgentID, e)
	}
	if lifecycle.RegistrationEnded(before, after) {
		r.log.Info("Removed the agent", "agent", r.agentRef.name, "agent_id", before.AgentID, "pool", r.agentRef.pool.Name)
	}
	if d, is := e.(lifecycle.DisableResult); is && d.Outcome == lifecycle.OK {
		r.log.Info("Disabled the agent: no further job comes", "agent", r.agentRef.name, "agent_id", after.AgentID, "job", after.Job)
	}
	if x, is := e.(lifecycle.ListenerExited); is {
		r.log.Info("The listener ended", "how", x.String())
	}
	r.reportDoubt(before, after, e)
	if before.Phase != after.Phase {
		r.log.Debug("Entered a phase", "phase", after.Phase, "from", before.Phase)
	}
}

// reportDoubt says that a look does not show the agent of a listener that runs.
func (r *runner) reportDoubt(before, after lifecycle.State, e lifecycle.Event) {
	look, is := e.(lifecycle.InspectResult)
	serves := before.Phase == lifecycle.Starting || before.Phase == lifecycle.Idle || before.Phase == lifecycle.Busy
	switch {
	case !is || look.Outcome != lifecycle.NotFound || !serves || before.Listener != lifecycle.Running:
	case after.Phase == lifecycle.Draining:
		r.log.Warn("The agent was deleted on the server", "agent", r.agentRef.name, "agent_id", before.AgentID, "pool", r.agentRef.pool.Name)
	default:
		r.log.Warn("The server does not show the agent: looking again", "agent", r.agentRef.name, "agent_id", before.AgentID, "pool", r.agentRef.pool.Name)
	}
}

// reportRegistered says that an agent is ours now; of an earlier life's it was said
// when it was found.
func (r *runner) reportRegistered(id int, e lifecycle.Event) {
	if _, is := e.(lifecycle.PrepareResult); !is {
		r.log.Info("Registered the agent", "agent", r.agentRef.name, "agent_id", id, "pool", r.agentRef.pool.Name, "pool_id", r.agentRef.pool.ID)
	}
}

// reportWaiting says whose the name is that is waited for; once, not at each
// look.
func (r *runner) reportWaiting(e lifecycle.Event) {
	found, is := e.(lifecycle.LookUpResult)
	if !is || found.Outcome != lifecycle.OK {
		return
	}
	waits := found.Owner == lifecycle.Foreign && (found.Online || found.RecentlyCreated)
	if waits && !r.nameWaitReported {
		r.log.Warn("Waiting for the agent's name", "name_wait", r.o.NameWait.String(), "holder", found.Holder)
	}
	r.nameWaitReported = waits
}

// reportFailure says that a call failed, and is tried again or not as lifecycle
// decides; an outage is said once, not at each try.
func (r *runner) reportFailure(e lifecycle.Event, after lifecycle.State) {
	answer, is := e.(interface{ Answer() lifecycle.Result })
	if !is {
		return
	}
	res := answer.Answer()
	switch res.Outcome {
	case lifecycle.OK, lifecycle.NotFound:
		if r.outageReported {
			r.log.Info("Azure DevOps answers again")
		}
		r.outageReported = false
	case lifecycle.Unreachable, lifecycle.Unclear, lifecycle.AnswerLost:
		level := slog.LevelWarn
		if r.outageReported {
			level = slog.LevelDebug
		}
		r.outageReported = true
		what := append([]any{"outcome", res.Outcome, "error", res.Err}, retryPlan(after)...)
		if hint := r.o.Hint(res.Err); hint != "" { // now: it may be tried for minutes, and a mistyped address for nothing
			what = append(what, "hint", hint)
		}
		r.log.Log(r.ctx, level, "A call failed", what...)
	case lifecycle.DirUnusable, lifecycle.InternalError: // the end of it, and said there
	case lifecycle.DirInUse:
		if after.Phase != lifecycle.Gone && !r.dirWaitReported {
			r.dirWaitReported = true
			r.log.Warn("Waiting for the agent's folder", "name_wait", r.o.NameWait.String(), "error", res.Err)
		}
	default:
		r.log.Warn("A call was refused", "outcome", res.Outcome, "error", res.Err)
	}
}

// retryPlan says that a call that failed is made again, and until when.
func retryPlan(after lifecycle.State) []any {
	at, until := after.NextRetry()
	switch {
	case at.IsZero():
		return nil
	case until.IsZero():
		return []any{"tried", "until it is answered"}
	}
	return []any{"tried_until", until.UTC().Format(time.RFC3339)}
}

// reportAbandoned tells a person what stays in the pool, and how to remove it.
func (r *runner) reportAbandoned(a lifecycle.ReportLeftover) {
	id, number := fmt.Sprint(a.AgentID), fmt.Sprint(a.AgentID)
	if a.AgentID == 0 {
		id, number = "unknown: look for the name", "ID"
	}
	r.log.Error("Cannot remove the agent: it may stay in its pool",
		"agent", r.agentRef.name, "agent_id", id, "pool", r.agentRef.pool.Name, "pool_id", r.agentRef.pool.ID, "error", a.Err,
		"remove_with", fmt.Sprintf("az devops invoke --org %s --area distributedtask --resource agents "+
			"--route-parameters poolId=%d agentId=%s --http-method DELETE --api-version 7.1", r.o.URL, r.agentRef.pool.ID, number))
}

func (r *runner) reportEnd(end End) {
	level := slog.LevelInfo
	if end.Code != 0 {
		level = slog.LevelError
	}
	args := []any{"exit_code", end.Code, "why", end.Why, "jobs", r.state.Jobs, "registration", r.state.Registration}
	if end.Code != 0 && end.Err != nil {
		args = append(args, "error", end.Err)
	}
	if !r.times.drainRequested.IsZero() {
		args = append(args, "ending_ms", ms(time.Since(r.times.drainRequested)))
	}
	r.log.Log(r.ctx, level, "Left", args...)
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
