package pool

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// demand is one thing that a job asks of its agent: that it has a capability, or
// one of some value (azure-devops-rest.md 2.4).
type demand struct{ name, op, value string }

// parseDemand reads "name", "name -equals value" and "name -gtVersion value".
func parseDemand(s string) demand {
	fields := strings.Fields(s)
	switch len(fields) {
	case 0:
		return demand{}
	case 1:
		return demand{name: fields[0]}
	}
	return demand{fields[0], strings.ToLower(fields[1]), strings.Join(fields[2:], " ")}
}

// metBy looks among both kinds of an agent's capabilities: a demand knows no
// difference.
func (d demand) metBy(a azdo.Agent) bool {
	for _, capabilities := range []map[string]string{a.UserCapabilities, a.SystemCapabilities} {
		for name, value := range capabilities {
			if strings.EqualFold(name, d.name) && d.accepts(value) {
				return true
			}
		}
	}
	return false
}

// accepts says whether a capability's value will do. Of an operator that is not
// known, having the capability is all that can be asked.
func (d demand) accepts(value string) bool {
	switch d.op {
	case "-equals":
		return strings.EqualFold(value, d.value)
	case "-gtversion": // the name says greater, the meaning is at least
		have, ok := parseVersion(value)
		least, known := parseVersion(d.value)
		return ok && known && slices.Compare(have, least) >= 0
	}
	return true
}

// parseVersion reads numbers between dots: 4.10 is newer than 4.9. What follows a
// hyphen is left out; a missing number is zero, so that 4.10 is 4.10.0.
func parseVersion(s string) (numbers []int, ok bool) {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "-")
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, int(n))
	}
	for len(numbers) > 0 && numbers[len(numbers)-1] == 0 {
		numbers = numbers[:len(numbers)-1]
	}
	return numbers, true
}

// Below says whether version is lower than limit, number by number: 4.9.0 is below
// 4.10.0. Of what is no version it is not ok to say.
func Below(version, limit string) (below, ok bool) {
	have, one := parseVersion(version)
	least, other := parseVersion(limit)
	if !one || !other {
		return false, false
	}
	return slices.Compare(have, least) < 0, true
}

// want is what some job asks of the pool.
type want struct {
	text    string // its demands, sorted, for a person; "" for none
	demands []demand
	matched []int // ids of the agents that the server says match; nil: judge by the demands
	ranBy   []int // ids of the agents whose last job wanted this; nil: a job waits for it
}

// wantsOf are the wants that the pool is known to have, each once, in an order
// that depends on nothing but themselves: those of the jobs that wait, and those
// of other people's agents' last jobs, as the next job is likely to be like one of
// them. An agent of azptend's holds no place for jobs to come: a placeholder does.
func wantsOf(agents []azdo.Agent, queue []azdo.JobRequest) []want {
	var all []want
	for _, request := range queue {
		if request.State() == azdo.JobQueued {
			w := newWant(request.Demands)
			for _, a := range request.MatchedAgents {
				w.matched = append(w.matched, a.ID)
			}
			slices.Sort(w.matched)
			all = append(all, w)
		}
	}
	byText := map[string]want{}
	for _, a := range agents {
		if last := a.LastCompletedRequest; last != nil && len(last.Demands) > 0 && !Ours(a) {
			w := newWant(last.Demands)
			w.ranBy = append(byText[w.text].ranBy, a.ID)
			byText[w.text] = w
		}
	}
	all = slices.AppendSeq(all, maps.Values(byText))
	slices.SortFunc(all, want.compare)
	return all
}

func newWant(demands []string) want {
	lines := slices.Sorted(slices.Values(demands))
	w := want{text: strings.Join(lines, ", ")}
	for _, line := range lines {
		w.demands = append(w.demands, parseDemand(line))
	}
	return w
}

// compare puts the jobs that wait first.
func (w want) compare(other want) int {
	return cmp.Or(
		cmp.Compare(min(len(w.ranBy), 1), min(len(other.ranBy), 1)),
		cmp.Compare(w.text, other.text), slices.Compare(w.matched, other.matched))
}

// metBy takes the server's word where it has given it.
func (w want) metBy(a azdo.Agent) bool {
	if w.matched != nil {
		_, found := slices.BinarySearch(w.matched, a.ID)
		return found
	}
	return !slices.ContainsFunc(w.demands, func(d demand) bool { return !d.metBy(a) })
}

// guards says whether an agent may have to stay for this want: for a job that
// waits any agent, for jobs to come only one that has run such a job. That one is
// known by it the next time, too.
func (w want) guards(a azdo.Agent) bool { return w.ranBy == nil || slices.Contains(w.ranBy, a.ID) }

// String is why the agent stays.
func (w want) String() string {
	switch {
	case w.text == "":
		return "only match for a job that waits"
	case w.ranBy == nil:
		return "only match for a job that waits, with demand " + w.text
	}
	return "only match for demand " + w.text
}

// Matches says whether a name is of a pattern in which * stands for any
// characters and ? for one. Case does not matter; "" is every name.
func Matches(pattern, name string) bool { return pattern == "" || matches(pattern, name) }

func matches(pattern, name string) bool {
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
		case star >= 0: // let the star have one more
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
