package lifecycle

import (
	"fmt"
	"time"
)

// Event is something that happened. The types below embed event, or a Result if
// they answer a call.
type Event interface{ isEvent() }

type event struct{}

func (event) isEvent() {}

// Outcome is how a call ended, or how a whole run did. Package exitcode has the
// exit code of each.
type Outcome string

// The outcomes of calls. A call that ends a run gives it its outcome. The sources
// are agent-protocol.md 2.3, 6 and azure-devops-rest.md 2.2, 3, 5.
const (
	OK            Outcome = "ok"
	AnswerLost    Outcome = "lost"        // sent, and nobody knows whether the server acted on it
	Unreachable   Outcome = "unreachable" // the server did not act; another try may help
	Unclear       Outcome = "unclear"     // the POST was answered with a temporary error: the server probably did not act
	Denied        Outcome = "denied"      // 401, 403: this identity lacks the permission
	Refused       Outcome = "refused"     // refused for a lasting reason
	NotFound      Outcome = "not found"   // 404: there is no such agent
	NameTaken     Outcome = "name taken"  // 409: another agent has the name
	JobRunning    Outcome = "job running" // 400 to a DELETE: the agent runs a job
	DirUnusable   Outcome = "directory unusable"
	DirInUse      Outcome = "directory in use" // another agent uses the directory, and may leave it
	InternalError Outcome = "internal error"   // a fault of azptend, or the machine is out of resources
)

// The outcomes that only a run has.
const (
	JobCut         Outcome = "job cut"         // a job was cancelled, killed or lost, or may have been
	JobCancelled   Outcome = "job cancelled"   // a person cancelled the job
	NotRemoved     Outcome = "not removed"     // the agent may stay in its pool, see Policy.StrictRemove
	ListenerFailed Outcome = "listener failed" // End.Exit says how
)

// End is how a run ended.
type End struct {
	Outcome Outcome
	Exit    Exit   // of the listener, where the outcome is ListenerFailed
	Reason  string // for the log
	Err     error
}

// Result is the answer to a call.
type Result struct {
	event
	Outcome    Outcome
	RetryAfter time.Duration // the pause that the server asked for; zero: none
	Err        error         // nil when OK
}

// Answer is the result that an answering event carries.
func (r Result) Answer() Result { return r }

// retryable says that another try may help.
func (r Result) retryable() bool {
	return r.Outcome == Unreachable || r.Outcome == Unclear || r.Outcome == AnswerLost
}

// Begin is the first event. PreviousAgentID is the agent of a previous run in the
// same directory that was killed, according to its files; 0 is none.
type Begin struct {
	event
	PreviousAgentID int
}

// PrepareResult answers Prepare.
type PrepareResult struct {
	Result
	Leftover        Leftover
	Checked         bool // Leftover is known, even if the directory cannot be used
	ExternalAgentID int  // the agent that another azptend registered for this one; 0: register one
}

// Leftover is what a previous run in the same directory left: its agent, and the
// listener that serves it, if that still runs. The zero value is nothing.
type Leftover struct {
	AgentID      int  // 0 when that is not known
	Hidden       bool // this identity may not see the agent that the files name
	ListenerRuns bool
	WorkerRuns   bool // a worker runs below the listener
}

// RegisterResult answers Register; AgentID is the new agent's.
type RegisterResult struct {
	Result
	AgentID int
}

// Owner is whose agent has the name.
type Owner string

// The owners.
const (
	NoAgent     Owner = "no agent"     // no agent has the name
	ThisRun     Owner = "this run"     // it carries this run's owner tag
	PreviousRun Owner = "previous run" // the record in the agent's directory proves it
	Foreign     Owner = "foreign"      // nothing proves that it is ours
	Placeholder Owner = "placeholder"  // an agent that never runs, and keeps the pool usable
)

// LookUpResult answers LookUp.
type LookUpResult struct {
	Result
	Owner           Owner
	AgentID         int
	Online          bool
	RecentlyCreated bool  // offline, and of an azptend that may just be starting
	HasCredentials  bool  // of this run's agent: the answer holds what the listener needs to log on
	Holder          error // of a foreign agent: "agent X (id 7, …) is online since …"
}

// The answers that carry nothing but a result.
type (
	RemoveConflictingResult struct{ Result }
	LaunchResult            struct{ Result }
	DisableResult           struct{ Result }
	RemoveResult            struct{ Result }
)

// InspectResult answers Inspect: what the server and the process table show. The
// process table was also read if the server could not be asked.
type InspectResult struct {
	Result
	Assigned bool // the server has assigned a job to the agent
	Worker   WorkerState
}

// WorkerScanned answers ScanForWorker.
type WorkerScanned struct {
	event
	Worker WorkerState
}

// Events of the listener that carry nothing.
type (
	SessionReady    struct{ event } // its session exists, or it has reconnected after its logon was refused
	SessionConflict struct{ event } // it waits for the session of an earlier listener to expire
	JobStarted      struct{ event } // the notification "Starting job"
	JobFinished     struct{ event } // the notification "Finished job"
	SocketLost      struct{ event } // no further notification comes: what it does is unknown
	UpdateEnded     struct{ event } // its update has ended, successfully or not
)

// AgentMaybeDeleted says that the agent may no longer be in its pool: a list does
// not show it, or the server refuses its listener's logon. Neither proves that it was
// deleted, so Inspect follows.
type AgentMaybeDeleted struct {
	event
	LogonRefused bool
}

// Exit is how the listener's process ended: with a code of its own
// (agent-protocol.md 4.1), or by a signal.
type Exit struct {
	Code   int
	Signal int // 0 when it exited by itself
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("signal %d", e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Cut is whether a listener's last job was cut, according to the listener's log.
// Jobs can write to that log, so it may prove that a job was cut, but never that
// none was.
type Cut string

// The values of Cut.
const (
	NotCut    Cut = ""       // the log shows no signal, or no job that a signal cut, or cannot be read
	MaybeCut  Cut = "maybe"  // the job did not succeed, and the log shows its end before the signal
	SurelyCut Cut = "surely" // the job did not succeed, and ended after the signal
)

// ListenerExited says that the listener was reaped.
type ListenerExited struct {
	event
	Exit
	Cut Cut
}

// DrainRequested asks for a drain. If it starts no grace period, the job has no
// deadline. No request extends a grace period: the one that ends first counts.
type DrainRequested struct {
	event
	Reason      string        // for the log
	StartsGrace bool          // the grace period starts
	CancelsJob  bool          // Policy.CancelOnTerm applies, and cancels the running job; false for a scheduled event
	Grace       time.Duration // the length that the platform announced; 0: the policy's
	At          time.Time     // when it was requested; zero: now
}

// UserInterrupt is SIGINT. The first one drains, and starts the grace period. The
// second cancels the job, the third kills it, and the fourth exits at once. One within
// a second after the last does not count.
type UserInterrupt struct {
	event
	At time.Time // when it arrived; zero: now
}

// Tick says that the time returned by NextTick has come.
type Tick struct{ event }
