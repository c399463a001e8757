package pool

import (
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// Group is a kind of agents of a pool that an autoscaler starts: one ScaledJob of KEDA, or one
// Container Apps job.
type Group struct {
	Name string
	Pool string // the pool's name; "": the only pool
	// Agents is a pattern (see MatchName) of the names of the group's agents that have no
	// TagGroup; "" is none.
	Agents string
	// Capabilities are what each agent of the group has, as in PlaceholderSpec.
	Capabilities map[string]string
	Max          int      // agents at once
	Warm         []Window // when idle agents wait for jobs
}

// GroupsOf are the groups of a pool.
func GroupsOf(groups []Group, pool string) []Group {
	return slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return g.Pool != "" && !strings.EqualFold(g.Pool, pool) })
}

// Placeholder is the placeholder of the group. A job that demands the group's capabilities is
// accepted although no agent of the group exists. prefix begins its name.
func (g Group) Placeholder(prefix string) PlaceholderSpec {
	return PlaceholderSpec{Name: prefix + "-" + g.Name, Group: g.Name, Capabilities: g.Capabilities}
}

// owns says whether an agent belongs to the group.
func (g Group) owns(a azdo.Agent) bool {
	if tag, tagged := a.UserCapabilities[agentdir.TagGroup]; tagged {
		return strings.EqualFold(tag, g.Name)
	}
	return g.Agents != "" && MatchName(g.Agents, a.Name)
}

// sample is an agent as the group declares its agents. It has the system capabilities of a
// placeholder: Agent.OS and Agent.Version, unless the group's capabilities replace them.
func (g Group) sample() azdo.Agent {
	system, user := g.Placeholder(DefaultName).capabilities()
	return azdo.Agent{Name: g.Name, SystemCapabilities: system, UserCapabilities: user}
}

// surplus is how many capabilities the group declares that a job does not demand.
func (g Group) surplus(need jobNeed) int {
	n := 0
	for name := range g.Capabilities {
		if !slices.ContainsFunc(need.demands, func(d azdo.Demand) bool { return strings.EqualFold(d.Name, name) }) {
			n++
		}
	}
	return n
}

// WarmAt is how many idle agents the group has at a time: the greatest count of the windows
// that are open.
func (g Group) WarmAt(now time.Time) int {
	warm := 0
	for _, w := range g.Warm {
		if w.isOpen(now) {
			warm = max(warm, w.Count)
		}
	}
	return warm
}

// Desired is how many agents the group should have now: one for each job that waits or runs,
// and the warm ones, at most Max.
func (g Group) Desired(c GroupCount, now time.Time) int {
	return min(c.Waiting+c.Busy+g.WarmAt(now), g.Max)
}

// Window is a time of the week at which a group has warm agents. It follows the clock on the
// wall: it may be an hour longer or shorter on a day on which the clocks change.
type Window struct {
	Count int
	Days  [7]bool // the days on which it opens, by time.Weekday
	// From and To are minutes since midnight. If To is not after From, the window closes on
	// the next day.
	From, To int
	Zone     *time.Location
}

// isOpen says whether the window is open at a time.
func (w Window) isOpen(now time.Time) bool {
	local := now.In(w.Zone)
	minute := local.Hour()*60 + local.Minute()
	today, yesterday := w.Days[local.Weekday()], w.Days[(local.Weekday()+6)%7]
	if w.From < w.To {
		return today && w.From <= minute && minute < w.To
	}
	return today && w.From <= minute || yesterday && minute < w.To
}
