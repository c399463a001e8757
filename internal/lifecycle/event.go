package lifecycle

import "time"

// Event is something that happened. The concrete types are below.
type Event interface{ event() }

// Outcome is how a call ended, in the words that make a difference to what
// comes next.
type Outcome string

// The outcomes. The sources are agent-protocol.md 2.3, 6 and azure-devops-rest.md 2.2, 3, 5.
const (
	OK            Outcome = "ok"
	AnswerLost    Outcome = "lost"        // sent, and nobody knows whether the server acted on it
	Unreachable   Outcome = "unreachable" // the server did not act; worth another try
	Unclear       Outcome = "doubtful"    // the same, most likely: a server in trouble has answered the POST
	Denied        Outcome = "denied"      // 401, 403: this identity may not
	Refused       Outcome = "refused"     // a no for good reason of its own, final
	NotFound      Outcome = "missing"     // 404: there is no such agent
	NameTaken     Outcome = "taken"       // 409: the name is held by another agent
	JobRunning    Outcome = "job running" // 400 to a DELETE: the agent runs a job
	DirUnusable   Outcome = "unfit"       // the agent folder cannot work
	DirInUse      Outcome = "occupied"    // another agent is at work in the agent folder, and may leave it
	InternalError Outcome = "broken"      // a fault of ours, or of the machine
)

// Result is the answer to a call.
type Result struct {
	Outcome    Outcome
	RetryAfter time.Duration // the server's wish; zero when it has none
	Err        error         // nil when OK
}

// retryable says that asking again may help.
func (r Result) retryable() bool {
	return r.Outcome == Unreachable || r.Outcome == Unclear || r.Outcome == AnswerLost
}

// Begin is the first event of a life. Former is the agent of an earlier life in
// the same folder that was killed, as far as its files tell; 0 is none.
type Begin struct{ PreviousAgentID int }

// PrepareResult answers Prepare.
type PrepareResult struct {
	Result
	Leftover        Leftover
	ExternalAgentID int // the id of the agent that somebody else registered for us; 0: register one
}

// Leftover is what an earlier life in the same folder left behind: its agent,
// and the listener that serves it, if that is still alive. The zero value is
// nothing.
type Leftover struct {
	AgentID      int // 0 when that is not known
	ListenerRuns bool
	WorkerRuns   bool // a worker runs below the listener
}

// RegisterResult answers Register; AgentID is the new agent's.
type RegisterResult struct {
	Result
	AgentID int
}

// Owner is who an agent of our name belongs to.
type Owner string

// The owners.
const (
	NoAgent     Owner = "nobody"   // there is no agent of that name
	ThisRun     Owner = "ours"     // it carries this life's mark
	PreviousRun Owner = "recorded" // an earlier run's: the record in the agent's directory proves it
	Foreign     Owner = "other"    // nothing proves that it is ours
	// Placeholder is an agent that never runs, for the pool's sake.
	Placeholder Owner = "placeholder"
)

// LookUpResult answers LookUp.
type LookUpResult struct {
	Result
	Owner           Owner
	AgentID         int
	Online          bool
	RecentlyCreated bool  // offline, and of an azptend that may just be starting
	HasCredentials  bool  // of our own: the answer holds what the listener needs to log on
	Holder          error // of somebody else's: "agent X (id 7, …) is online since …"
}

// RemoveConflictingResult answers RemoveTwin.
type RemoveConflictingResult struct{ Result }

// LaunchResult answers Launch.
type LaunchResult struct{ Result }

// DisableResult answers Disable.
type DisableResult struct{ Result }

// InspectResult answers Inspect: what the server and the process table show. The
// process table was read also where the server could not be asked.
type InspectResult struct {
	Result
	Assigned bool // the server has a job request assigned to the agent
	Worker   WorkerState
}

// WorkerScanned answers LookForWork.
type WorkerScanned struct{ Worker WorkerState }

// RemoveResult answers Remove.
type RemoveResult struct{ Result }

// SessionReady says that the listener's session exists, or that it has reconnected
// after its registration was refused.
type SessionReady struct{}

// SessionConflict says that the listener waits for a session of an earlier listener
// to lapse: the server has one for this agent already.
type SessionConflict struct{}

// AgentMaybeDeleted says that the agent may not be in its pool any more: a list does not
// show it, or the server refuses the registration that its listener logs on with.
// The server is asked then: neither is believed.
type AgentMaybeDeleted struct{ LogonRefused bool }

// JobStarted is the socket's "Starting job".
type JobStarted struct{}

// JobFinished is the socket's "Finished job".
type JobFinished struct{}

// SocketLost says that the socket will say nothing more: what the listener does
// is unknown.
type SocketLost struct{}

// Exit is how the listener's process ended: a code of its own (agent-protocol.md
// 4.1), or the signal that killed it.
type Exit struct {
	Code   int
	Signal int // 0 when it ended by itself
}

// exitCode is the code azptend shows for it.
func (e Exit) exitCode() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// Cut is whether a listener's last job was cut, by the listener's own log. Jobs can
// write to that log. So it can show that a job was cut, and never that none was.
type Cut string

// The words of a cut.
const (
	NotCut    Cut = ""       // the log shows no signal to end, or no job that it cut, or cannot be read
	MaybeCut  Cut = "maybe"  // the job did not succeed, and ended before the signal, as far as the log shows
	SurelyCut Cut = "surely" // the job did not succeed, and ended after the signal
)

// ListenerExited says that the listener was reaped.
type ListenerExited struct {
	Exit
	Cut Cut
}

// UpdateEnded says that the listener's update has ended, well or not.
type UpdateEnded struct{}

// DrainRequested asks for a drain. Reason is for the log. With Clock the platform
// has spoken and the grace period runs from now; without, the job may take as
// long as it takes. Grace is how long the platform gives this time, where it has
// said so; 0 is the policy's grace period. What is asked for first or ends sooner
// counts: nothing extends a deadline.
type DrainRequested struct {
	Reason       string
	WithDeadline bool
	Grace        time.Duration
}

// UserInterrupt is SIGINT: a drain, and a second or more after the first word
// an insistence.
type UserInterrupt struct{}

// Tick says that the time Wake named has come.
type Tick struct{}

func (Begin) event()                   {}
func (PrepareResult) event()           {}
func (RegisterResult) event()          {}
func (LookUpResult) event()            {}
func (RemoveConflictingResult) event() {}
func (LaunchResult) event()            {}
func (DisableResult) event()           {}
func (InspectResult) event()           {}
func (WorkerScanned) event()           {}
func (RemoveResult) event()            {}
func (SessionReady) event()            {}
func (SessionConflict) event()         {}
func (AgentMaybeDeleted) event()       {}
func (JobStarted) event()              {}
func (JobFinished) event()             {}
func (SocketLost) event()              {}
func (ListenerExited) event()          {}
func (UpdateEnded) event()             {}
func (DrainRequested) event()          {}
func (UserInterrupt) event()           {}
func (Tick) event()                    {}

// Answer is the result that an answering event carries.
func (r Result) Answer() Result { return r }
