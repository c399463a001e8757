package supervisor

import (
	"context"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

func (r *runner) lookUp() func(context.Context) message {
	poolID, instance, earlier, home := r.pool.ID, r.instance, r.evidence, r.home()
	return func(ctx context.Context) message {
		found, there, err := r.o.Server.AgentByName(ctx, poolID, r.o.Name)
		e := lifecycle.LookUpResult{Result: resultOf(err), Owner: lifecycle.NoAgent, AgentID: found.ID, Online: found.Online()}
		if err != nil || !there {
			return message{event: e}
		}
		e.Owner = ownerOf(found, instance)
		if e.Owner == lifecycle.Foreign && earlier.proves(poolID, found) {
			e.Owner = lifecycle.PreviousRun
		}
		e.RecentlyCreated = recentlyCreated(found, r.serverNow())
		if e.Owner == lifecycle.ThisRun {
			e.HasCredentials = hasCredentials(found)
			return message{event: e, apply: func(r *runner) { r.registered, r.keyUsed = found, true }}
		}
		e.Holder = &NameTakenError{found, e.Owner == lifecycle.Placeholder, strings.EqualFold(found.UserCapabilities[agentdir.TagHost], home)}
		return message{event: e, apply: func(r *runner) { r.nameHolder = found }}
	}
}

// home is where an agent lives: a machine or container may have several folders
// with an agent in each, and they are no earlier lives of each other.
func (r *runner) home() string { return r.o.HostName + ":" + r.o.Dir.Root }

// ownerOf says whose an agent is by what the server shows of it. Host name and
// folder prove nothing: containers may share both.
func ownerOf(a azdo.Agent, instance string) lifecycle.Owner {
	switch mark := a.UserCapabilities; {
	case instance != "" && mark[agentdir.TagInstance] == instance:
		return lifecycle.ThisRun
	case agentdir.IsPlaceholder(mark, a.Version, a.Online()):
		return lifecycle.Placeholder
	}
	return lifecycle.Foreign
}

// comingOnlineTimeout is how long an agent that azptend has added may need to come online:
// the listener's start, and its first try to make a session.
const comingOnlineTimeout = time.Minute

// serverNow is the server's clock, as far as it is known: the server dates its agents.
func (r *runner) serverNow() time.Time {
	now := time.Now()
	if r.o.ClockAhead != nil {
		now = now.Add(r.o.ClockAhead())
	}
	return now
}

// recentlyCreated says that an agent of azptend's may just be starting elsewhere. One from
// the future is as young as one that was made just now.
func recentlyCreated(a azdo.Agent, now time.Time) bool {
	made := a.CreatedOn.Time
	return !a.Online() && a.UserCapabilities[agentdir.TagKind] == agentdir.KindAgent && !made.IsZero() && now.Sub(made) < comingOnlineTimeout
}

// copyUserCapabilities keeps the user capabilities of the twin that is about to be removed:
// people set them in the portal, and demands rely on them.
func (r *runner) copyUserCapabilities() {
	r.userCapabilities = map[string]string{}
	for name, value := range r.nameHolder.UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") {
			r.userCapabilities[name] = value
		}
	}
}
