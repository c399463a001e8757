package doctor

import (
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// demand is one line of a job's demands: "name", "name -equals value" or
// "name -gtVersion value" (azure-devops-rest.md 2.4).
type demand struct{ name, op, value string }

func parseDemand(s string) demand {
	name, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	op, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return demand{name, strings.ToLower(op), strings.TrimSpace(value)}
}

// meets says that an agent has what a demand asks for, in either kind of its
// capabilities. Names do not differ by case, nor do values.
func (d demand) meets(a azdo.Agent) bool {
	if strings.EqualFold(d.name, "Agent.Version") && d.accepts(a.Version) {
		return true // the registration says it too, also of an agent without capabilities
	}
	for _, capabilities := range []map[string]string{a.UserCapabilities, a.SystemCapabilities} {
		for name, value := range capabilities {
			if strings.EqualFold(name, d.name) && d.accepts(value) {
				return true
			}
		}
	}
	return false
}

// accepts compares a value. -gtVersion means at least, whatever its name says.
func (d demand) accepts(value string) bool {
	switch d.op {
	case "":
		return true
	case "-equals":
		return strings.EqualFold(value, d.value)
	case "-gtversion":
		return atLeast(value, d.value)
	}
	return false
}

func atLeast(have, want string) bool {
	h, w := numbers(have), numbers(want)
	if h == nil || w == nil {
		return false
	}
	for i := range max(len(h), len(w)) {
		if a, b := at(h, i), at(w, i); a != b {
			return a > b
		}
	}
	return true
}

func at(of []int, i int) int {
	if i < len(of) {
		return of[i]
	}
	return 0
}

// numbers reads "4.260.0"; nil where it is no version.
func numbers(s string) []int {
	var all []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil
		}
		all = append(all, n)
	}
	return all
}

// unmet are the demands that none of the agents meets; where each is met by some
// agent and all are by none, it is the demands of which no agent meets all.
func unmet(demands []string, agents []azdo.Agent) (lacking []string, together bool) {
	for _, d := range demands {
		if !anyOf(agents, func(a azdo.Agent) bool { return parseDemand(d).meets(a) }) {
			lacking = append(lacking, d)
		}
	}
	if len(lacking) > 0 || len(able(demands, agents)) > 0 {
		return lacking, false
	}
	return demands, true
}

// able are the agents that meet all demands.
func able(demands []string, agents []azdo.Agent) []azdo.Agent {
	var found []azdo.Agent
	for _, a := range agents {
		all := true
		for _, d := range demands {
			all = all && parseDemand(d).meets(a)
		}
		if all {
			found = append(found, a)
		}
	}
	return found
}

func anyOf(agents []azdo.Agent, is func(azdo.Agent) bool) bool {
	for _, a := range agents {
		if is(a) {
			return true
		}
	}
	return false
}
