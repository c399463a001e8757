package pool

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

const (
	// MinOffline is the least time that an agent must have been offline before it can
	// count as dead. A machine that boots, a container that pulls its image between
	// its registration and its first session, and a listener that has lost its
	// network all look like ghosts until then.
	MinOffline = 15 * time.Minute
	// MinOfflineRequested is the same for an agent whose mark asks a keeper to remove it, and
	// that has had a session. Such an agent ends by closing it, so that offline means
	// ended; but for the moment in which its listener replaces itself.
	MinOfflineRequested = time.Minute
	// sameInstant is how far apart the two dates of an agent may be that never had a
	// session: nothing says that the server takes both from one look at its clock.
	sameInstant = time.Second
)

// Rules say which agents of a pool are ghosts. The zero value is the careful one:
// azptend's own agents, offline for longer than Floor.
type Rules struct {
	// OlderThan is how long an agent must have been offline: counted from the later
	// of its creation and its last change of status. Less than Floor counts as Floor.
	OlderThan time.Duration
	// AnyOwner takes in agents that bear no mark of azptend's.
	AnyOwner bool
	// Match restricts by name: * stands for any characters, ? for one; case does not
	// matter; "" is every name.
	Match string
	// Names restricts to these agents; empty is every agent. What is named here may
	// be a placeholder, or the only match for a demand, and is a ghost still; it must
	// be offline, idle, old enough and ours like any other.
	Names []string
}

// Reason is why an agent is a ghost, or why it stays, as a word.
type Reason string

// The reasons. Dead and Asked make a ghost, all others let an agent stay.
const (
	Dead             Reason = "dead"        // offline for longer than the rules say
	RemovalRequested Reason = "asked"       // its mark asks a keeper to remove it, and it has ended
	NotNamed         Reason = "not-named"   // the rules name others
	NoMatch          Reason = "no-match"    // its name is not what the rules ask for
	Online           Reason = "online"      // a session of it is alive
	HasJob           Reason = "has-job"     // a job request is assigned to it
	IsPlaceholder    Reason = "placeholder" // it only holds a place, by its mark, version or name
	NotOurs          Reason = "not-ours"    // it bears no mark of azptend's
	TooRecent        Reason = "young"       // not offline for long enough
	UnknownAge       Reason = "undated"     // it is not known since when it is offline
	OnlyMatch        Reason = "only-match"  // without it, no agent would match some job's demands
)

// Verdict is what the rules make of one agent.
type Verdict struct {
	Agent  azdo.Agent
	Reason Reason
	Why    string // for a person: "offline for 3h, ours"
}

// Ghost says whether the agent is to be removed.
func (v Verdict) Ghost() bool { return v.Reason == Dead || v.Reason == RemovalRequested }

// String is the verdict in a line: "ghost: offline for 3h, ours".
func (v Verdict) String() string {
	if v.Ghost() {
		return "ghost: " + v.Why
	}
	return "stays: " + v.Why
}

// Judge says of each agent of a pool whether it is a ghost, in the order of
// agents. Agents must be the whole pool, with assigned requests and capabilities
// (the marks, and what demands name, suffice), and for AnyOwner with last completed
// requests; queue must be its unfinished job requests; now is the server's clock,
// by which the agents are dated. Survey gets all that. Judge asks nobody, and the
// order of what it is given changes no verdict.
//
// An agent is never a ghost while it is online or has a job. Of agents that alone
// match a job's demands one stays, the one that was alive last, as Azure DevOps
// refuses jobs that no agent matches (azure-devops-rest.md 2.4).
func (r Rules) Judge(agents []azdo.Agent, queue []azdo.JobRequest, now time.Time) []Verdict {
	busy := map[int]bool{}
	for _, request := range queue {
		if request.ReservedAgent != nil && request.State() != azdo.JobFinished {
			busy[request.ReservedAgent.ID] = true
		}
	}
	verdicts := make([]Verdict, len(agents))
	for i, a := range agents {
		verdicts[i] = r.judge(a, busy[a.ID], now)
	}
	r.keepLastMatch(verdicts, collectNeeds(agents, queue))
	return verdicts
}

// judge is about one agent, without a look at the others.
func (r Rules) judge(a azdo.Agent, busy bool, now time.Time) Verdict {
	reason, why := r.selection(a)
	if reason == "" {
		reason, why = liveness(a, busy)
	}
	if reason == "" {
		reason, why = r.ownership(a)
	}
	if reason == "" {
		reason, why = r.offlineVerdict(a, now)
	}
	return Verdict{a, reason, why}
}

func (r Rules) selection(a azdo.Agent) (Reason, string) {
	switch {
	case len(r.Names) > 0 && !r.isNamed(a.Name):
		return NotNamed, "not named"
	case !MatchName(r.Match, a.Name):
		return NoMatch, "its name does not match " + r.Match
	}
	return "", ""
}

func (r Rules) isNamed(name string) bool {
	return slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// liveness lets stay what is not known to be offline and idle.
func liveness(a azdo.Agent, busy bool) (Reason, string) {
	switch {
	case a.Online():
		return Online, "online"
	case !strings.EqualFold(a.Status, "offline"):
		return Online, fmt.Sprintf("its status is %q", a.Status)
	case busy || a.AssignedRequest != nil:
		return HasJob, "has a job"
	}
	return "", ""
}

// ownership lets placeholders and other people's agents stay.
func (r Rules) ownership(a azdo.Agent) (Reason, string) {
	if why := PlaceholderReason(a); why != "" && !r.isNamed(a.Name) {
		return IsPlaceholder, why
	}
	if !r.AnyOwner && !Ours(a) {
		return NotOurs, "not ours"
	}
	return "", ""
}

// Ours says whether an agent was registered by azptend, anywhere: it bears the
// mark.
func Ours(a azdo.Agent) bool {
	return a.UserCapabilities[agentdir.TagKind] != "" || a.UserCapabilities[agentdir.TagInstance] != ""
}

// RequestsRemoval says whether an agent's mark asks a keeper to remove it, because the
// life that runs it has no identity to do it with (`azptend run --registered`).
func RequestsRemoval(a azdo.Agent) bool {
	return a.UserCapabilities[agentdir.TagRemoval] == agentdir.RemovalByKeeper
}

// PlaceholderReason says by what an agent that is offline is known for a placeholder:
// like PlaceholderOf, and by the names that people give them; "" for one that is
// none. Our own mark is the last word: an agent that it calls an agent is none,
// whatever its name.
func PlaceholderReason(a azdo.Agent) string {
	switch maker, is := PlaceholderMaker(a); {
	case is && maker == MadeByAzptend:
		return "placeholder (azptend's kind)"
	case is:
		return fmt.Sprintf("placeholder of another tool (version %s)", a.Version)
	case !a.Online() && a.UserCapabilities[agentdir.TagKind] == "" && namedLikePlaceholder(a.Name):
		return "named like a placeholder"
	}
	return ""
}

// placeholderWords are what people call an agent that is to stay, offline as it
// is: placeholder-agent is the name in Microsoft's Container Apps tutorial,
// template what blue-agent and KEDA's examples call theirs, dummy the word of
// MShekow's registrator; the rest is a plain wish.
var placeholderWords = []string{"placeholder", "template", "dummy", "donotdelete", "dontdelete", "donotremove", "dontremove"}

// namedLikePlaceholder looks past how the words are put together: Place-Holder,
// DO_NOT_DELETE.
func namedLikePlaceholder(name string) bool {
	letters := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' {
			return c
		}
		return -1
	}, strings.ToLower(name))
	return slices.ContainsFunc(placeholderWords, func(w string) bool { return strings.Contains(letters, w) })
}

// offlineVerdict looks at the dates of an agent that is offline.
func (r Rules) offlineVerdict(a azdo.Agent, now time.Time) (Reason, string) {
	since := OfflineSince(a)
	if since.IsZero() {
		return UnknownAge, "it is not known since when it is offline"
	}
	owner := "ours"
	if !Ours(a) {
		owner = "not ours"
	}
	age, atLeast := now.Sub(since), max(r.OlderThan, MinOffline)
	switch {
	case RequestsRemoval(a) && a.StatusChangedOn.Sub(a.CreatedOn.Time) > sameInstant && age > MinOfflineRequested:
		return RemovalRequested, fmt.Sprintf("offline for %s, and a keeper is asked to remove it", text.Duration(age))
	case age > atLeast:
		return Dead, fmt.Sprintf("offline for %s, %s", text.Duration(age), owner)
	}
	return TooRecent, fmt.Sprintf("younger than %s", text.Duration(atLeast))
}

// OfflineSince is since when an agent that is offline can be dead: the later of its
// creation and its last change of status. It is zero where the server does not
// tell one of them, as what is not known may have been a moment ago.
func OfflineSince(a azdo.Agent) time.Time {
	created, changed := a.CreatedOn.Time, a.StatusChangedOn.Time
	if created.IsZero() || changed.IsZero() {
		return time.Time{}
	}
	if changed.After(created) {
		return changed
	}
	return created
}

// keepLastMatch lets one agent stay for each want that is met by none but ghosts, and by
// what will be ghosts with time: the one that was alive last. As OlderThan plays no
// part in the choice, a greater one never makes another ghost, and whoever prunes
// again a day later lets the same agent stay.
func (r Rules) keepLastMatch(verdicts []Verdict, wants []jobNeed) {
	for _, w := range wants {
		best, safe := -1, false
		for i, v := range verdicts {
			switch {
			case !v.Agent.IsEnabled() || !w.matches(v.Agent):
			case !v.Ghost() && v.Reason != TooRecent:
				safe = true
			case !r.isNamed(v.Agent.Name) && w.protects(v.Agent) && (best < 0 || aliveAfter(v.Agent, verdicts[best].Agent)):
				best = i
			}
		}
		if !safe && best >= 0 && verdicts[best].Ghost() {
			verdicts[best].Reason, verdicts[best].Why = OnlyMatch, w.String()
		}
	}
}

// aliveAfter says that a was alive after b.
func aliveAfter(a, b azdo.Agent) bool {
	return cmp.Or(OfflineSince(a).Compare(OfflineSince(b)), cmp.Compare(a.ID, b.ID)) > 0
}
