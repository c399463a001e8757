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
	// MinOffline is how long an agent must have been offline, at least, to count as dead. Until
	// then, a booting machine, a container that pulls its image between its registration and
	// its first session, and a listener without network all look the same.
	MinOffline = 15 * time.Minute
	// MinOfflineRequested is the same for an agent that asks a keeper to remove it, and that
	// has had a session. Such an agent closes its session when it ends, so that offline means
	// ended, except while its listener replaces itself.
	MinOfflineRequested = time.Minute
	// sameInstant is how far apart the two dates of an agent without a session may be: the
	// server may read its clock twice.
	sameInstant = time.Second
)

// Rules say which agents of a pool are ghosts. The zero value is the careful one:
// azptend's own agents, offline for longer than MinOffline.
type Rules struct {
	// OlderThan is how long an agent must have been offline, since the later of its creation
	// and its last change of status; at least MinOffline.
	OlderThan time.Duration
	// AnyOwner includes agents without azptend's owner tag.
	AnyOwner bool
	// Match restricts by name: * stands for any characters, ? for one; case does not
	// matter; "" is every name.
	Match string
	// Names restricts to these agents; empty is every agent. A named agent may be a
	// placeholder, or the only match for a demand; all other rules apply to it.
	Names []string
}

// Reason is why an agent is a ghost, or why it stays.
type Reason string

// The reasons. Dead and RemovalRequested make a ghost; with all others an agent stays.
const (
	Dead             Reason = "dead"         // offline for longer than the rules say
	RemovalRequested Reason = "asked"        // it asks a keeper to remove it, and has ended
	NotNamed         Reason = "not-named"    // the rules name others
	NoMatch          Reason = "no-match"     // its name does not match
	Online           Reason = "online"       // it has a session
	HasJob           Reason = "has-job"      // a job request is assigned to it
	IsPlaceholder    Reason = "placeholder"  // a placeholder by its tag, version or name
	NoOwnerTag       Reason = "no-owner-tag" // it has no owner tag of azptend
	TooRecent        Reason = "young"        // not offline for long enough
	UnknownAge       Reason = "undated"      // it is not known since when it is offline
	OnlyMatch        Reason = "only-match"   // without it, no agent would match some job's demands
)

// Verdict says whether one agent is a ghost, and why.
type Verdict struct {
	Agent  azdo.Agent
	Reason Reason
	Why    string // for a person: "offline for 3h, registered by azptend"
}

// Ghost says whether the agent is to be removed.
func (v Verdict) Ghost() bool { return v.Reason == Dead || v.Reason == RemovalRequested }

// String is the verdict in a line: "ghost: offline for 3h, registered by azptend".
func (v Verdict) String() string {
	if v.Ghost() {
		return "ghost: " + v.Why
	}
	return "stays: " + v.Why
}

// Judge says for each agent of a pool whether it is a ghost, in the order of agents. Agents must
// be the whole pool, with assigned requests, owner tags and the capabilities that demands name,
// and for AnyOwner with last completed requests; queue must be its unfinished job requests; now
// is the server's clock. Survey gets all that. Judge makes no calls, and the order of agents and
// requests changes no verdict.
//
// An agent is never a ghost while it is online or has a job. If only ghosts match a job's
// demands, the one that was online last stays: Azure DevOps refuses jobs that no agent matches
// (azure-devops-rest.md 2.4).
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

// judge judges one agent without regard to the others.
func (r Rules) judge(a azdo.Agent, busy bool, now time.Time) Verdict {
	placeholder := PlaceholderReason(a)
	switch {
	case len(r.Names) > 0 && !r.isNamed(a.Name):
		return Verdict{a, NotNamed, "not named"}
	case !MatchName(r.Match, a.Name):
		return Verdict{a, NoMatch, "its name does not match " + r.Match}
	case a.Online():
		return Verdict{a, Online, "online"}
	case !strings.EqualFold(a.Status, "offline"):
		return Verdict{a, Online, fmt.Sprintf("its status is %q", a.Status)}
	case busy || a.AssignedRequest != nil:
		return Verdict{a, HasJob, "has a job"}
	case placeholder != "" && !r.isNamed(a.Name):
		return Verdict{a, IsPlaceholder, placeholder}
	case !r.AnyOwner && !HasOwnerTag(a):
		return Verdict{a, NoOwnerTag, "it has no owner tag"}
	}
	reason, why := r.offlineVerdict(a, now)
	return Verdict{a, reason, why}
}

func (r Rules) isNamed(name string) bool {
	return slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// HasOwnerTag says whether an azptend registered the agent: it has an owner tag.
func HasOwnerTag(a azdo.Agent) bool {
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

// offlineVerdict judges an offline agent by its dates.
func (r Rules) offlineVerdict(a azdo.Agent, now time.Time) (Reason, string) {
	since := OfflineSince(a)
	if since.IsZero() {
		return UnknownAge, "it is not known since when it is offline"
	}
	owner := "registered by azptend"
	if !HasOwnerTag(a) {
		owner = "without an owner tag"
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

// OfflineSince is since when an offline agent can be dead: the later of its creation and its
// last change of status. It is zero if one of them is unknown: it may have been a moment ago.
func OfflineSince(a azdo.Agent) time.Time {
	created, changed := a.CreatedOn.Time, a.StatusChangedOn.Time
	if created.IsZero() || changed.IsZero() {
		return time.Time{}
	}
	return slices.MaxFunc([]time.Time{created, changed}, time.Time.Compare)
}

// keepLastMatch lets one agent stay for each need that only ghosts meet, and agents that will be
// ghosts later: the one that was online last. The choice does not depend on OlderThan, so that a
// greater value never makes another ghost, and another prune a day later keeps the same agent.
func (r Rules) keepLastMatch(verdicts []Verdict, wants []jobNeed) {
	for _, w := range wants {
		// Most needs are met by no ghost, and a pool may have thousands of agents and needs.
		if !slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Ghost() && v.Agent.IsEnabled() && w.matches(v.Agent) }) {
			continue
		}
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

// aliveAfter says that a was online after b.
func aliveAfter(a, b azdo.Agent) bool {
	return cmp.Or(OfflineSince(a).Compare(OfflineSince(b)), cmp.Compare(a.ID, b.ID)) > 0
}
