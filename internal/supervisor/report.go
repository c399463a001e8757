package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
)

// times are how long each part of the start took.
type times struct {
	started        time.Time // of the process; of a reregistration or restart, its first call
	token          time.Duration
	pool           time.Duration
	key            time.Duration // in parallel to the others, like dir
	dir            time.Duration
	register       time.Duration
	launch         time.Duration
	launched       time.Time
	drainRequested time.Time
}

// startAt sets when the start began, unless it is set.
func (t *times) startAt(at time.Time) {
	if t.started.IsZero() {
		t.started = at
	}
}

func ms(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// reportReady logs that the agent is ready, and how long the parts of the start took.
// source is what showed that it is ready.
func (r *runner) reportReady(source string) {
	t := r.times
	if t.launched.IsZero() {
		return
	}
	session, total := time.Since(t.launched), time.Since(t.started)
	r.log.Info("The agent is ready",
		"agent", r.o.Name, "agent_id", r.state.AgentID, "pool", r.pool.Name, "detected_by", source,
		"token_ms", ms(t.token), "pool_ms", ms(t.pool), "key_ms", ms(t.key),
		"directory_ms", ms(t.dir), "register_ms", ms(t.register), "launch_ms", ms(t.launch),
		"session_ms", ms(session), "to_launch_ms", ms(t.launched.Sub(t.started)), "total_ms", ms(total))
	if r.o.Observer != nil {
		r.o.Observer.Ready(map[string]time.Duration{
			"token": t.token, "pool": t.pool, "key": t.key, "folder": t.dir, "register": t.register, "launch": t.launch,
			"session": session, "total": total,
		})
	}
	r.sessionWaitReported = false
	r.times = times{drainRequested: t.drainRequested} // another start is measured by itself
}

// nextInterrupt is what the next SIGINT does, by the number of earlier ones.
var nextInterrupt = []string{1: "cancel a running job", 2: "kill the job", 3: "exit at once, whatever the server answers"}

// report logs what a step changed. Actions are what follows from it.
func (r *runner) report(before, after lifecycle.State, e lifecycle.Event, actions []lifecycle.Action) {
	if answer, is := e.(interface{ Answer() lifecycle.Result }); is && !isFinalError(answer.Answer().Err, actions) {
		r.reportAnswer(answer.Answer(), after)
	}
	if before.Reason == "" && after.Reason != "" {
		r.times.drainRequested = time.Now()
		r.log.Info("Draining", "reason", after.Reason, "phase", before.Phase, "job", after.Job)
	}
	switch b, until := after.Budget, after.Deadline().UTC().Format(time.RFC3339); {
	case before.Deadline() == after.Deadline():
	case before.Deadline().IsZero():
		r.log.Info("The grace period has started", "until", until, "drain", b.Drain.String(), "stop", b.Stop.String(), "remove", b.Remove.String())
	default:
		r.log.Info("The grace period is shorter now", "until", until, "drain", b.Drain.String(), "stop", b.Stop.String(), "remove", b.Remove.String())
	}
	agent := []any{"agent", r.agentRef.name, "agent_id", before.AgentID, "pool", r.agentRef.pool.Name}
	if before.Registration != lifecycle.Registered && after.Registration == lifecycle.Registered {
		if _, found := e.(lifecycle.PrepareResult); !found { // adoptPrevious has logged a previous run's agent
			r.log.Info("Registered the agent", "agent", r.agentRef.name, "agent_id", after.AgentID, "pool", r.agentRef.pool.Name, "pool_id", r.agentRef.pool.ID)
		}
	}
	if lifecycle.RegistrationEnded(before, after) {
		r.log.Info("Removed the agent", agent...)
	}
	switch e := e.(type) {
	case lifecycle.UserInterrupt:
		if count := after.Interrupts; count > before.Interrupts && count < len(nextInterrupt) {
			r.log.Info("Send SIGINT (Ctrl-C) again to " + nextInterrupt[count])
		}
	case lifecycle.LookUpResult:
		r.reportNameWait(e)
	case lifecycle.DisableResult:
		if e.Outcome == lifecycle.OK {
			r.log.Info("Disabled the agent: no further job comes", "agent", r.agentRef.name, "agent_id", after.AgentID, "job", after.Job)
		}
	case lifecycle.InspectResult:
		serves := before.Phase == lifecycle.Starting || before.Phase == lifecycle.Idle || before.Phase == lifecycle.Busy
		if e.Outcome == lifecycle.NotFound && serves && before.Listener == lifecycle.Running {
			if after.Phase == lifecycle.Draining {
				r.log.Warn("The agent was deleted on the server", agent...)
			} else {
				r.log.Warn("The server does not show the agent: looking again", agent...)
			}
		}
	case lifecycle.SessionConflict:
		if !r.sessionWaitReported {
			r.sessionWaitReported = true
			r.log.Warn("Waiting for the session of an earlier listener to expire: the server keeps it for about five minutes",
				"agent", r.o.Name, "agent_id", after.AgentID)
		}
	case lifecycle.ListenerExited:
		r.log.Info("The listener exited", "status", e.String())
	}
	if before.Phase != after.Phase {
		r.log.Debug("Entered a phase", "phase", after.Phase, "from", before.Phase)
	}
}

// isFinalError says that the run ends with this error. It is then reported at the end, and
// not here.
func isFinalError(err error, actions []lifecycle.Action) bool {
	return err != nil && slices.ContainsFunc(actions, func(a lifecycle.Action) bool {
		end, is := a.(lifecycle.Finish)
		return is && exitcode.OfRun(end.End) != 0 && errors.Is(end.Err, err)
	})
}

// reportNameWait logs which agent has the name that azptend waits for: once, not at each
// look-up.
func (r *runner) reportNameWait(e lifecycle.LookUpResult) {
	if e.Outcome != lifecycle.OK {
		return
	}
	waits := e.Owner == lifecycle.Foreign && (e.Online || e.RecentlyCreated)
	if waits && !r.nameWaitReported {
		r.log.Warn("Waiting for the agent's name", "name_wait", r.o.Policy.NameWait.String(), "holder", e.Holder)
	}
	r.nameWaitReported = waits
}

// reportAnswer logs a call that failed. An outage is logged once, not at each retry.
func (r *runner) reportAnswer(res lifecycle.Result, after lifecycle.State) {
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
		args := []any{"outcome", res.Outcome, "error", res.Err}
		switch at, until := after.NextRetry(); {
		case at.IsZero():
		case until.IsZero():
			args = append(args, "retry_until", "the server answers")
		default:
			args = append(args, "retry_until", until.UTC().Format(time.RFC3339))
		}
		args = r.withHint(args, res.Err) // now: the retries may take minutes
		r.log.Log(r.ctx, level, "Azure DevOps request failed, retrying", args...)
	case lifecycle.DirUnusable, lifecycle.InternalError: // reportEnd logs it
	case lifecycle.DirInUse:
		if after.Phase != lifecycle.Gone && !r.dirWaitReported {
			r.dirWaitReported = true
			r.log.Warn("Waiting for the agent's directory", "name_wait", r.o.Policy.NameWait.String(), "error", res.Err)
		}
	default:
		r.log.Warn("Azure DevOps refused a request", r.withHint([]any{"outcome", res.Outcome, "error", res.Err}, res.Err)...)
	}
}

// withHint adds the hint for an error, if there is one.
func (r *runner) withHint(args []any, err error) []any {
	if hint := r.o.Hint(err); hint != "" {
		args = append(args, "hint", hint)
	}
	return args
}

// reportAbandoned logs which agent stays in the pool, and how to remove it. An id of 0 is
// unknown.
func (ref registrationRef) reportAbandoned(id int, url string, why error, log *slog.Logger) {
	known, hint := strconv.Itoa(id), []any(nil)
	if id == 0 {
		known = "unknown"
		hint = []any{"hint", fmt.Sprintf("replace ID in remove_with by the agent's id: %s poolId=%d --query-parameters agentName=%s --api-version 7.1",
			invokeAgents(url), ref.pool.ID, ref.name)}
	}
	log.Error("Cannot remove the agent: it may stay in its pool", append([]any{
		"agent", ref.name, "agent_id", known, "pool", ref.pool.Name, "pool_id", ref.pool.ID, "error", why,
		"remove_with", removeCommand(url, ref.pool.ID, id)}, hint...)...)
}

// removeCommand is the command that removes an agent. If its id is 0, the command has the
// word ID in its place.
func removeCommand(url string, pool, id int) string {
	number := "ID"
	if id != 0 {
		number = strconv.Itoa(id)
	}
	return fmt.Sprintf("%s poolId=%d agentId=%s --http-method DELETE --api-version 7.1", invokeAgents(url), pool, number)
}

func invokeAgents(url string) string {
	return fmt.Sprintf("az devops invoke --org %s --area distributedtask --resource agents --route-parameters", url)
}

// LeftAgents returns those of the directories in which a killed run may have left its
// agent.
func LeftAgents(dirs []agentdir.Dir) (left []agentdir.Dir) {
	for _, d := range dirs {
		_ = d.AsUser(func() error {
			if d.MayHaveLeftAgent() {
				left = append(left, d)
			}
			return nil
		})
	}
	return left
}

// reportLeftTimeout bounds ReportLeftAgents: a file system may not respond.
const reportLeftTimeout = time.Second

// ReportLeftAgents logs the agents that killed runs left in these directories. It is for a
// run that ends before it has looked for them.
func ReportLeftAgents(dirs []agentdir.Dir, url string, log *slog.Logger) {
	if len(dirs) == 0 {
		return
	}
	ended := bounded.Within(reportLeftTimeout, func() {
		for _, d := range LeftAgents(dirs) {
			reportLeftAgent(d, url, log)
		}
	})
	if !ended {
		log.Warn("Cannot check what a previous run left in the agent's directory: its file system does not respond", "directory", dirs[0].Root)
	}
}

// errNotStarted is why the agent of a previous run was not removed: this run ended first.
var errNotStarted = errors.New("azptend ends before it has looked for the agent of a previous run")

// reportLeftAgent logs the agent that a killed run left, according to the files in its
// directory. If another azptend uses the directory, the files are of its running agent, and
// nothing is logged.
func reportLeftAgent(dir agentdir.Dir, url string, log *slog.Logger) {
	_ = dir.AsUser(func() error {
		if dir.UsedByAnother() {
			return nil
		}
		if was, found, err := dir.Registration(); err == nil && found {
			registrationRef{azdo.Pool{ID: was.PoolID, Name: was.PoolName}, was.AgentName}.reportAbandoned(was.AgentID, url, errNotStarted, log)
		} else if record, found := dir.Owner(); found {
			registrationRef{azdo.Pool{ID: record.PoolID, Name: record.PoolName}, record.AgentName}.reportAbandoned(0, url, errNotStarted, log)
		}
		return nil
	})
}

// reportEnd logs the last line of a run. The caller of Run reports the error. With several
// agents it gets only the worst one, so each agent's line has its own.
func (r *runner) reportEnd(end End) {
	level := slog.LevelInfo
	if end.Code != 0 {
		level = slog.LevelError
	}
	args := []any{"exit_code", end.Code, "reason", end.Why, "jobs", r.state.Jobs, "registration", r.state.Registration}
	if end.Code != 0 && end.Err != nil && r.o.shared {
		args = append(args, "error", end.Err)
	}
	if !r.times.drainRequested.IsZero() {
		args = append(args, "ending_ms", ms(time.Since(r.times.drainRequested)))
	}
	r.log.Log(r.ctx, level, "Exiting", args...)
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
