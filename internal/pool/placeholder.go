package pool

import (
	"context"
	"crypto/rand"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

const (
	// DefaultName is a placeholder's name where none is set: names are unique
	// within a pool, and in the portal it says who made it.
	DefaultName = "azptend-placeholder"
	// placeholderVersion is newer than any agent, so that demands on Agent.Version match; the
	// server is known to take it (agent-protocol.md 2.2).
	placeholderVersion = "99.999.9"
)

// PlaceholderSpec is what a placeholder is to be.
type PlaceholderSpec struct {
	Name  string
	Group string // its TagGroup; "": none
	// Capabilities are for demands. Those that begin with "Agent." replace the
	// placeholder's system capabilities: Agent.OS (Linux), Agent.Version (99.999.9).
	Capabilities map[string]string
}

// Outcome is what Ensure found or did.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"
	Unchanged Outcome = "unchanged" // it was there, and as wanted
	Updated   Outcome = "updated"   // it was there, and lacked capabilities
	Foreign   Outcome = "foreign"   // another tool's placeholder has the name: left as it is
)

// EnsureResult is the placeholder that is in the pool now.
type EnsureResult struct {
	Outcome  Outcome
	Agent    azdo.Agent
	Missing  []string // names of capabilities that were wanted and not there, or of another value
	Disabled bool     // by a person: left so
}

var versionPattern = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// EnsurePlaceholder sees to it that there is one placeholder of the wanted name. It looks
// before each POST, and so may be repeated, by itself after an answer that was
// lost, or by anybody at any time.
func (p *Pool) EnsurePlaceholder(ctx context.Context, want PlaceholderSpec) (EnsureResult, error) {
	target := newPlaceholder(want)
	if !versionPattern.MatchString(target.Version) {
		return EnsureResult{}, &InvalidVersionError{target.Version}
	}
	var done EnsureResult
	err := p.retry(ctx, func(ctx context.Context) (err error) {
		found, there, err := p.o.Server.AgentByName(ctx, p.ID, want.Name)
		switch {
		case err != nil:
			return err
		case !there:
			found, err = p.o.Server.AddAgent(ctx, p.ID, target)
			done = EnsureResult{Outcome: Created, Agent: found}
			return err
		}
		done, err = p.reusePlaceholder(ctx, found, target)
		return err
	})
	return done, err
}

// reusePlaceholder judges the agent that has the name, and completes it if it is ours.
func (p *Pool) reusePlaceholder(ctx context.Context, found, target azdo.Agent) (EnsureResult, error) {
	maker, is := PlaceholderMaker(found)
	if !is {
		return EnsureResult{}, &NameTakenError{"create placeholder", p.String(), found}
	}
	done := EnsureResult{
		Outcome: Unchanged, Agent: found, Missing: missingCapabilities(found, target),
		Disabled: !found.IsEnabled(),
	}
	switch {
	case maker == MadeByOther:
		done.Outcome = Foreign
		return done, nil
	case found.UserCapabilities[agentdir.TagInstance] == target.UserCapabilities[agentdir.TagInstance]:
		done.Outcome = Created // by the POST whose answer was lost
		return done, nil
	case len(done.Missing) == 0:
		return done, nil
	}
	done.Outcome = Updated
	replaced, err := p.o.Server.ReplaceAgent(ctx, p.ID, completed(found, target))
	if azdo.ClassOf(err) == azdo.NotFound {
		return EnsureResult{}, &vanishedError{err}
	}
	if err == nil && replaced.ID != 0 {
		done.Agent = replaced
	}
	return done, err
}

// completed is found with what target wants. What people wrote on it in the
// portal stays, and so does whether it is enabled.
func completed(found, target azdo.Agent) azdo.Agent {
	a := target
	a.ID, a.Enabled = found.ID, found.Enabled
	a.SystemCapabilities = merged(found.SystemCapabilities, target.SystemCapabilities)
	a.UserCapabilities = merged(found.UserCapabilities, withoutInstance(target))
	return a
}

func merged(base, more map[string]string) map[string]string {
	m := maps.Clone(base)
	if m == nil {
		m = map[string]string{}
	}
	for name := range more { // the server's names know no case
		maps.DeleteFunc(m, func(have, _ string) bool { return strings.EqualFold(have, name) })
	}
	maps.Copy(m, more)
	return m
}

// withoutInstance are an agent's user capabilities without the mark of its registration.
func withoutInstance(a azdo.Agent) map[string]string {
	m := maps.Clone(a.UserCapabilities)
	delete(m, agentdir.TagInstance)
	return m
}

// missingCapabilities names what a demand could ask for of target and not get of found. Which
// of the two kinds of capabilities it is in makes no difference to a demand.
func missingCapabilities(found, target azdo.Agent) []string {
	var names []string
	for name, value := range merged(target.SystemCapabilities, target.UserCapabilities) {
		if name == "Agent.Name" || strings.HasPrefix(name, "azptend.") && name != agentdir.TagGroup {
			continue
		}
		if !hasCapability(found.SystemCapabilities, name, value) && !hasCapability(found.UserCapabilities, name, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func hasCapability(capabilities map[string]string, name, value string) bool {
	for n, v := range capabilities {
		if strings.EqualFold(n, name) {
			return v == value
		}
	}
	return false
}

// newPlaceholder is the agent as it is POSTed: without a key, as a maker of
// placeholders is known to do it in production (MShekow's registrator,
// agent-protocol.md 2.1), so that nobody can ever be online as it; with
// Agent.OS and Agent.Version, without which jobs and KEDA's rules that demand
// them find no match (keda-and-kubernetes.md 1.7: container-apps#1064).
func newPlaceholder(want PlaceholderSpec) azdo.Agent {
	enabled := true
	system, user := want.capabilities()
	user[agentdir.TagKind] = agentdir.KindPlaceholder
	user[agentdir.TagInstance] = rand.Text()
	if want.Group != "" {
		user[agentdir.TagGroup] = want.Group
	}
	return azdo.Agent{
		Name: want.Name, Version: system["Agent.Version"], OSDescription: "a placeholder of azptend: it never runs",
		MaxParallelism: 1, ProvisioningState: "Provisioned", Enabled: &enabled,
		SystemCapabilities: system, UserCapabilities: user,
	}
}

// capabilities are the placeholder's system and user capabilities, without owner tags.
func (want PlaceholderSpec) capabilities() (system, user map[string]string) {
	system = map[string]string{"Agent.Name": want.Name, "Agent.OS": "Linux", "Agent.Version": placeholderVersion}
	user = map[string]string{}
	for name, value := range want.Capabilities {
		if strings.HasPrefix(strings.ToLower(name), "agent.") {
			system = merged(system, map[string]string{canonical(name): value})
			continue
		}
		user[name] = value
	}
	return system, user
}

// canonical writes the agent's own capability names as the agent does.
func canonical(name string) string {
	for _, known := range []string{"Agent.Name", "Agent.OS", "Agent.Version", "Agent.OSArchitecture", "Agent.ComputerName", "Agent.HomeDirectory"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return name
}

// Maker is who made a placeholder.
type Maker string

// The makers.
const (
	MadeByAzptend Maker = "azptend" // it has our mark
	MadeByOther   Maker = "another"
)

// PlaceholderMaker says whether an agent is a placeholder, and whose.
func PlaceholderMaker(a azdo.Agent) (maker Maker, is bool) {
	if !agentdir.IsPlaceholder(a.UserCapabilities, a.Version, a.Online()) {
		return "", false
	}
	if a.UserCapabilities[agentdir.TagKind] == agentdir.KindPlaceholder {
		return MadeByAzptend, true
	}
	return MadeByOther, true
}

// Placeholders lists the pool's placeholders, whoever made them.
func (p *Pool) Placeholders(ctx context.Context) ([]azdo.Agent, error) {
	var found []azdo.Agent
	err := p.retry(ctx, func(ctx context.Context) error {
		all, err := p.o.Server.Agents(ctx, p.ID)
		found = slices.DeleteFunc(all, func(a azdo.Agent) bool {
			_, is := PlaceholderMaker(a)
			return !is
		})
		return err
	})
	return found, err
}

// DeletePlaceholder removes the placeholder of this name; there being none is a success,
// and removed is the zero value. What is no placeholder is left alone.
func (p *Pool) DeletePlaceholder(ctx context.Context, name string) (removed azdo.Agent, err error) {
	err = p.retry(ctx, func(ctx context.Context) error {
		a, there, err := p.o.Server.AgentByName(ctx, p.ID, name)
		if err != nil || !there {
			return err
		}
		if _, is := PlaceholderMaker(a); !is {
			return &NameTakenError{"delete placeholder", p.String(), a}
		}
		removed = a
		err = p.o.Server.RemoveAgent(ctx, p.ID, a.ID)
		if azdo.ClassOf(err) == azdo.NotFound {
			return nil
		}
		return err
	})
	return removed, err
}

// PlaceholderMatches says whether an agent of a survey is still the placeholder that Ensure
// left: of this name, no agent, and with what people can change of it as it was
// wanted. It costs no call.
func PlaceholderMatches(a azdo.Agent, want PlaceholderSpec) bool {
	maker, is := PlaceholderMaker(a)
	if !is || !strings.EqualFold(a.Name, want.Name) {
		return false
	}
	if maker == MadeByOther {
		return true // and left as it is
	}
	for name, value := range newPlaceholder(want).UserCapabilities {
		if (!strings.HasPrefix(name, "azptend.") || name == agentdir.TagGroup) && !hasCapability(a.UserCapabilities, name, value) {
			return false
		}
	}
	return true
}
