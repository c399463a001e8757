package pool

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// VersionBelow says whether version is lower than limit, number by number: 4.9.0 is below
// 4.10.0. It is not ok if one of them is no version.
func VersionBelow(version, limit string) (below, ok bool) {
	have, one := azdo.ParseVersion(version)
	least, other := azdo.ParseVersion(limit)
	if !one || !other {
		return false, false
	}
	return slices.Compare(have, least) < 0, true
}

// jobNeed is what a job demands of an agent.
type jobNeed struct {
	lines      []string // its demands, as the server gives them
	demands    []azdo.Demand
	demandText string // the lines, sorted, for a person; "" for none
	matchedIDs []int  // ids of the agents that the server says match; nil: judge by the demands
	ranByIDs   []int  // ids of the agents whose last job demanded this; nil: a job waits for it
}

// collectNeeds are the needs that the pool is known to have, in an order that depends only on
// them: those of waiting jobs, and those of the last jobs of other tools' agents, because the next
// job is likely to be like one of them. For azptend's own agents, a placeholder does that.
func collectNeeds(agents []azdo.Agent, queue []azdo.JobRequest) []jobNeed {
	var all []jobNeed
	for _, request := range queue {
		if request.State() == azdo.JobQueued {
			all = append(all, newWaitingNeed(request))
		}
	}
	byText := map[string]jobNeed{}
	for _, a := range agents {
		if last := a.LastCompletedRequest; last != nil && len(last.Demands) > 0 && !HasOwnerTag(a) {
			w := newJobNeed(last.Demands)
			w.ranByIDs = append(byText[w.demandText].ranByIDs, a.ID)
			byText[w.demandText] = w
		}
	}
	all = slices.AppendSeq(all, maps.Values(byText))
	slices.SortFunc(all, jobNeed.compare)
	return all
}

func newJobNeed(demands []string) jobNeed {
	w := jobNeed{lines: demands, demandText: strings.Join(slices.Sorted(slices.Values(demands)), ", ")}
	for _, line := range demands {
		w.demands = append(w.demands, azdo.ParseDemand(line))
	}
	return w
}

// newWaitingNeed is the need of a job that waits.
func newWaitingNeed(request azdo.JobRequest) jobNeed {
	w := newJobNeed(request.Demands)
	for _, a := range request.MatchedAgents {
		w.matchedIDs = append(w.matchedIDs, a.ID)
	}
	slices.Sort(w.matchedIDs)
	return w
}

// compare puts waiting jobs first.
func (w jobNeed) compare(other jobNeed) int {
	return cmp.Or(
		cmp.Compare(min(len(w.ranByIDs), 1), min(len(other.ranByIDs), 1)),
		cmp.Compare(w.demandText, other.demandText), slices.Compare(w.matchedIDs, other.matchedIDs))
}

// matches says whether an agent meets the need. If the server says so, that counts.
func (w jobNeed) matches(a azdo.Agent) bool {
	if w.matchedIDs != nil {
		_, found := slices.BinarySearch(w.matchedIDs, a.ID)
		return found
	}
	return w.isMetBy(a)
}

// isMetBy says whether an agent meets all demands. Only a capability meets a demand: a placeholder
// of version 99.999.9 without the capability Agent.Version gets no job that demands a version.
func (w jobNeed) isMetBy(a azdo.Agent) bool {
	return !slices.ContainsFunc(w.demands, func(d azdo.Demand) bool { return !d.MetBy(a) })
}

// protects says whether an agent may have to stay for this need: any agent for a waiting job, and
// only one that ran such a job for future jobs.
func (w jobNeed) protects(a azdo.Agent) bool {
	return w.ranByIDs == nil || slices.Contains(w.ranByIDs, a.ID)
}

// String is why the agent stays.
func (w jobNeed) String() string {
	switch {
	case w.demandText == "":
		return "only match for a job that waits"
	case w.ranByIDs == nil:
		return "only match for a job that waits, with demand " + w.demandText
	}
	return "only match for demand " + w.demandText
}

// MatchName says whether a name matches a pattern, in which * stands for any characters and ?
// for one. Case does not matter; "" matches every name.
func MatchName(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	p, n := []rune(strings.ToLower(pattern)), []rune(strings.ToLower(name))
	star, from := -1, 0 // the last *, and where in n what follows it begins
	i, j := 0, 0
	for j < len(n) {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == n[j]):
			i++
			j++
		case star >= 0: // let the star match one more
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
