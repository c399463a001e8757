package supervisor

import (
	"fmt"

	"github.com/azptend/azptend/internal/azdo"
)

// NameTakenError says whose the agent's name is, and since when.
type NameTakenError struct {
	holder      azdo.Agent
	placeholder bool
	sameHost    bool // its host name and folder are ours, which proves nothing
}

func (e *NameTakenError) Error() string {
	who := "another agent"
	if e.placeholder {
		who = "the pool's placeholder"
	}
	return fmt.Sprintf("the agent name %q is held by %s: id %d, version %s, %s since %s",
		e.holder.Name, who, e.holder.ID, e.holder.Version, e.holder.Status, e.holder.Since())
}

// Hint says what to do about it.
func (e *NameTakenError) Hint() string {
	switch {
	case e.placeholder:
		return "choose another name in AZP_AGENT_NAME (--agent-name): a pool that scales to zero needs its placeholder"
	case e.sameHost:
		return "its host name and folder are this one's too. If two containers share both, give each its own name by AZP_AGENT_NAME_PREFIX (--agent-name-prefix). " +
			"If it was left here by a container that was killed, it goes offline after some five minutes, and the next start replaces it"
	}
	return "choose another name in AZP_AGENT_NAME (--agent-name), or give each its own by AZP_AGENT_NAME_PREFIX (--agent-name-prefix)"
}
