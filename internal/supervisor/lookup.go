package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// lookUp finds the agent that has our name, and its owner.
func (r *runner) lookUp() func(context.Context) message {
	poolID, instance, evidence, home := r.pool.ID, r.instance, r.evidence, r.home
	return func(ctx context.Context) message {
		found, exists, err := r.o.Server.AgentByName(ctx, poolID, r.o.Name)
		e := lifecycle.LookUpResult{Result: resultOf(err), Owner: lifecycle.NoAgent, AgentID: found.ID, Online: found.Online()}
		if err != nil || !exists {
			return message{event: e}
		}
		e.Owner = ownerOf(found, instance)
		if e.Owner == lifecycle.Foreign && evidence.proves(poolID, found) {
			e.Owner = lifecycle.PreviousRun
		}
		now := time.Now()
		if r.o.ClockAhead != nil { // CreatedOn is the server's time
			now = now.Add(r.o.ClockAhead())
		}
		e.RecentlyCreated = recentlyCreated(found, now)
		if e.Owner == lifecycle.ThisRun {
			e.HasCredentials = hasCredentials(found)
			return message{event: e, apply: func(r *runner) { r.registered, r.keyUsed = found, true }}
		}
		e.Holder = &NameTakenError{found, e.Owner == lifecycle.Placeholder, strings.EqualFold(found.UserCapabilities[agentdir.TagHost], home)}
		return message{event: e, apply: func(r *runner) { r.nameHolder = found }}
	}
}

// ownerOf decides who owns an agent by its tags. Host name and directory prove nothing:
// containers may share both.
func ownerOf(a azdo.Agent, instance string) lifecycle.Owner {
	switch tags := a.UserCapabilities; {
	case instance != "" && tags[agentdir.TagInstance] == instance:
		return lifecycle.ThisRun
	case agentdir.IsPlaceholder(tags, a.Version, a.Online()):
		return lifecycle.Placeholder
	}
	return lifecycle.Foreign
}

// comingOnlineTimeout is how long an agent may need to come online after its registration.
// In this time the listener starts and creates its session.
const comingOnlineTimeout = time.Minute

// recentlyCreated reports whether an offline agent of azptend may just be starting
// elsewhere. A creation time in the future counts as recent.
func recentlyCreated(a azdo.Agent, now time.Time) bool {
	made := a.CreatedOn.Time
	return !a.Online() && a.UserCapabilities[agentdir.TagKind] == agentdir.KindAgent && !made.IsZero() && now.Sub(made) < comingOnlineTimeout
}

// copyUserCapabilities copies the user capabilities of the agent that is about to be
// removed to the new one: people set them in the portal, and demands rely on them.
func (r *runner) copyUserCapabilities() {
	r.userCapabilities = map[string]string{}
	for name, value := range r.nameHolder.UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") {
			r.userCapabilities[name] = value
		}
	}
}

// NameTakenError says which agent has the name.
type NameTakenError struct {
	holder      azdo.Agent
	placeholder bool
	sameHost    bool // it has our host name and directory
}

func (e *NameTakenError) Error() string {
	who := "another agent"
	if e.placeholder {
		who = "the pool's placeholder"
	}
	return fmt.Sprintf("the agent name %q is taken by %s: id %d, version %s, %s since %s",
		e.holder.Name, who, e.holder.ID, e.holder.Version, e.holder.Status, e.holder.Since())
}

// Hint is what to do about it.
func (e *NameTakenError) Hint() string {
	switch {
	case e.placeholder:
		return "choose another name in AZP_AGENT_NAME (--agent-name): a pool that scales to zero needs its placeholder"
	case e.sameHost:
		return "if two containers share host name and agent directory, set AZP_AGENT_NAME_PREFIX (--agent-name-prefix); " +
			"if a killed container left the agent behind, start again in five minutes"
	}
	return "choose another name in AZP_AGENT_NAME (--agent-name), or set AZP_AGENT_NAME_PREFIX (--agent-name-prefix)"
}
