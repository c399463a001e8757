package lifecycle

import "time"

// Action is something to do. The types below embed action.
type Action interface{ isAction() }

type action struct{}

func (action) isAction() {}

// Call is work that answers with an event. At most one is in flight.
type Call string

// The calls, each with the event that answers it.
const (
	NoCall            Call = ""
	Prepare           Call = "prepare"                  // token, key, agent directory, pool: PrepareResult
	Register          Call = "register"                 // POST the agent: RegisterResult
	LookUp            Call = "look up"                  // GET the agent with this name and its owner tag: LookUpResult
	RemoveConflicting Call = "remove conflicting agent" // DELETE the agent that has the name: RemoveConflictingResult
	Launch            Call = "launch"                   // write the agent's files, start the listener: LaunchResult
	Disable           Call = "disable"                  // PATCH enabled=false: DisableResult
	Inspect           Call = "inspect"                  // GET the assigned job, look for a worker: InspectResult
	Remove            Call = "remove"                   // DELETE the agent: RemoveResult
)

// StartCall makes a call. If it has no answer by Deadline, the caller answers
// Unreachable or AnswerLost itself. AgentID is the agent that the call is about,
// if it is about one.
type StartCall struct {
	action
	Call     Call
	AgentID  int
	Deadline time.Time
}

// AbortCall ends the wait for the call in flight. The call still answers:
// AnswerLost if the server may have acted.
type AbortCall struct{ action }

// InterruptListener sends SIGINT to the listener. That is the only signal which
// every version treats as "cancel the job and exit" (agent-protocol.md 5.1).
type InterruptListener struct{ action }

// KillListener sends SIGKILL to the listener and to everything below it. If the
// listener has exited, it kills the processes that it left.
type KillListener struct{ action }

// ScanForWorker looks in the process table for a worker below the listener, and
// for steps of its job. WorkerScanned answers.
type ScanForWorker struct{ action }

// AwaitUpdate waits for the listener's update script to end. UpdateEnded answers.
// The script gets no signal.
type AwaitUpdate struct{ action }

// ReportLeftover reports an agent that could not be removed to the user. AgentID is
// 0 if it is not known.
type ReportLeftover struct {
	action
	AgentID int
	Err     error
}

// Finish ends the run.
type Finish struct {
	action
	End
}
