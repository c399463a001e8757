package lifecycle

import "time"

// Action is something to do. The concrete types are below.
type Action interface{ action() }

// Call is work that answers with an event. At most one is in flight.
type Call string

// The calls, each with the event that answers it.
const (
	NoCall            Call = ""
	Prepare           Call = "prepare"                  // token, key, agent folder, pool: Prepared
	Register          Call = "register"                 // POST the agent: Registered
	LookUp            Call = "look up"                  // GET the agent of our name, with its mark: LookedUp
	RemoveConflicting Call = "remove conflicting agent" // DELETE the agent that holds our name: TwinRemoved
	Launch            Call = "launch"                   // write the agent's files, start the listener: Launched
	Disable           Call = "disable"                  // PATCH enabled=false: Disabled
	Inspect           Call = "inspect"                  // GET the assigned request, look for a worker: Inspected
	Remove            Call = "remove"                   // DELETE the agent: Deleted
)

// StartCall makes a call. Its answer must come by By; then whoever makes it answers
// Unreachable or Lost himself. AgentID is the agent it is about, where it is
// about one.
type StartCall struct {
	Call     Call
	AgentID  int
	Deadline time.Time
}

// AbortCall ends the wait for the call in flight. The call still answers: Lost if
// the server may have acted.
type AbortCall struct{}

// InterruptListener sends SIGINT to the listener, the only signal it treats as "cancel
// the job and end" in every version (agent-protocol.md 5.1).
type InterruptListener struct{}

// KillListener sends SIGKILL to the listener and to everything below it. The listener
// may be gone already: then it is about what it left behind.
type KillListener struct{}

// ScanForWorker looks in the process table for a worker below the listener, and for
// steps of its job; WorkSeen answers.
type ScanForWorker struct{}

// AwaitUpdate waits for the listener's update script to end; UpdateSettled
// answers. Nothing of it is signalled.
type AwaitUpdate struct{}

// ReportLeftover tells a person about an agent that could not be removed. AgentID is 0
// when not even that is known.
type ReportLeftover struct {
	AgentID int
	Err     error
}

// Finish ends the life: with this exit code, for this reason.
type Finish struct {
	Code   int
	Reason string
	Err    error
}

func (StartCall) action()         {}
func (AbortCall) action()         {}
func (InterruptListener) action() {}
func (KillListener) action()      {}
func (ScanForWorker) action()     {}
func (AwaitUpdate) action()       {}
func (ReportLeftover) action()    {}
func (Finish) action()            {}
