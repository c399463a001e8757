package tend

import (
	"fmt"

	"github.com/azptend/azptend/internal/azdo"
)

// heldError says whose the agent's name is, and since when.
type heldError struct {
	holder      azdo.Agent
	placeholder bool
}

func (e *heldError) Error() string {
	who := "another agent"
	if e.placeholder {
		who = "the pool's placeholder"
	}
	return fmt.Sprintf("the agent name %q is held by %s: id %d, version %s, %s since %s",
		e.holder.Name, who, e.holder.ID, e.holder.Version, e.holder.Status, e.holder.Since())
}

// Hint says what to do about it.
func (e *heldError) Hint() string {
	if e.placeholder {
		return "choose another name in AZP_AGENT_NAME (--agent-name): a pool that scales to zero needs its placeholder"
	}
	return "choose another name in AZP_AGENT_NAME (--agent-name), or give each its own by AZP_AGENT_NAME_PREFIX (--agent-name-prefix)"
}
