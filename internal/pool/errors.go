package pool

import (
	"fmt"

	"github.com/azptend/azptend/internal/azdo"
)

// ClosedError says that agents cannot be added to a pool.
type ClosedError struct{ Name, Why string }

func (e *ClosedError) Error() string {
	return fmt.Sprintf("cannot use pool %q: %s", e.Name, e.Why)
}

// Hint says what to do about it.
func (e *ClosedError) Hint() string {
	return "set AZP_POOL (--pool) to a self-hosted pool"
}

// NameTakenError says that a name belongs to an agent that is no placeholder.
type NameTakenError struct {
	Op    string // "create placeholder"
	Pool  string
	Agent azdo.Agent
}

func (e *NameTakenError) Error() string {
	a := e.Agent
	return fmt.Sprintf("cannot %s %q in %s: the name is taken by an agent that is not a placeholder: id %d, version %s, %s since %s",
		e.Op, a.Name, e.Pool, a.ID, a.Version, a.Status, a.Since())
}

// Hint says what to do about it.
func (e *NameTakenError) Hint() string {
	return "choose another name in AZP_AGENT_NAME (--agent-name); if that agent is dead, or the placeholder of a script, " +
		"delete it in the portal first (Agent pools, the pool, Agents)"
}

// InvalidVersionError says that Agent.Version is no version: the server would refuse the agent
// (agent-protocol.md 2.2).
type InvalidVersionError struct{ Version string }

func (e *InvalidVersionError) Error() string {
	return fmt.Sprintf("cannot create a placeholder: Agent.Version in AZP_CAPABILITIES (--capability) is %q, which is not of the form 5.282.3", e.Version)
}

// Hint says what to do about it.
func (e *InvalidVersionError) Hint() string {
	return "omit Agent.Version: " + placeholderVersion + " matches every demand"
}

// vanishedError is a 404 for an agent that the server showed just before: it was deleted in
// between, and another look finds none.
type vanishedError struct{ error }

func (e *vanishedError) Unwrap() error { return e.error }
