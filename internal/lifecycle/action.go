package lifecycle

import "time"

// Action is something to do. The concrete types are below.
type Action interface{ action() }

// Call is work that answers with an event. At most one is in flight.
type Call string

// The calls, each with the event that answers it.
const (
	NoCall     Call = ""
	Prepare    Call = "prepare"     // token, key, agent folder, pool: Prepared
	Register   Call = "register"    // POST the agent: Registered
	LookUp     Call = "look up"     // GET the agent of our name, with its mark: LookedUp
	RemoveTwin Call = "remove twin" // DELETE the agent that holds our name: TwinRemoved
	Launch     Call = "launch"      // write the agent's files, start the listener: Launched
	Disable    Call = "disable"     // PATCH enabled=false: Disabled
	Inspect    Call = "inspect"     // GET the assigned request, look for a worker: Inspected
	Remove     Call = "remove"      // DELETE the agent: Deleted
)

// Ask makes a call. Its answer must come by By; then whoever makes it answers
// Unreachable or Lost himself. AgentID is the agent it is about, where it is
// about one.
type Ask struct {
	Call    Call
	AgentID int
	By      time.Time
}

// Abort ends the wait for the call in flight. The call still answers: Lost if
// the server may have acted.
type Abort struct{}

// Interrupt sends SIGINT to the listener, the only signal it treats as "cancel
// the job and end" in every version (agent-protocol.md 5.1).
type Interrupt struct{}

// Kill sends SIGKILL to the listener and to everything below it. The listener
// may be gone already: then it is about what it left behind.
type Kill struct{}

// LookForWork looks in the process table for a worker below the listener, and for
// steps of its job; WorkSeen answers.
type LookForWork struct{}

// AwaitUpdate waits for the listener's update script to end; UpdateSettled
// answers. Nothing of it is signalled.
type AwaitUpdate struct{}

// Name tells a person about an agent that could not be removed. AgentID is 0
// when not even that is known.
type Name struct {
	AgentID int
	Err     error
}

// Leave ends the life: with this exit code, for this reason.
type Leave struct {
	Code int
	Why  string
	Err  error
}

func (Ask) action()         {}
func (Abort) action()       {}
func (Interrupt) action()   {}
func (Kill) action()        {}
func (LookForWork) action() {}
func (AwaitUpdate) action() {}
func (Name) action()        {}
func (Leave) action()       {}
