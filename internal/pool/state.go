package pool

import "github.com/azptend/azptend/internal/azdo"

// State is what an agent is to those who wait for one. The commands, their JSON, the
// keeper's page and its metrics have the same states.
type State string

// The states.
const (
	StateBusy        State = "busy"        // a job is assigned to it
	StateIdle        State = "idle"        // it listens for jobs
	StateDisabled    State = "disabled"    // it listens, and gets none
	StateGhost       State = "ghost"       // offline for good, by the rules of a Verdict
	StateOffline     State = "offline"     // nobody listens
	StatePlaceholder State = "placeholder" // it never listens
)

// States are in the order in which a person wants to see them.
func States() []State {
	return []State{StateBusy, StateIdle, StateDisabled, StateGhost, StateOffline, StatePlaceholder}
}

// StateOf is the state of one agent, without the rules that make a ghost of it. A job
// comes first: the server may not have taken it away yet from an agent that is offline.
func StateOf(a azdo.Agent) State {
	switch {
	case a.AssignedRequest != nil:
		return StateBusy
	case a.Online() && !a.IsEnabled():
		return StateDisabled
	case a.Online():
		return StateIdle
	case PlaceholderReason(a) != "":
		return StatePlaceholder
	}
	return StateOffline
}

// State is the state of the verdict's agent.
func (v Verdict) State() State {
	switch {
	case v.Reason == HasJob:
		return StateBusy
	case v.Ghost():
		return StateGhost
	}
	return StateOf(v.Agent)
}
