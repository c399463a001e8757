package azdo

import (
	"slices"
	"strconv"
	"strings"
)

// Demand is one thing that a job asks of its agent: that it has a capability, or
// one of some value (azure-devops-rest.md 2.4).
type Demand struct {
	Name  string
	Op    string // in lower case: "", "-equals", "-gtversion", or one that is not known
	Value string
}

// ParseDemand reads "name", "name -equals value" and "name -gtVersion value".
func ParseDemand(s string) Demand {
	fields := strings.Fields(s)
	switch len(fields) {
	case 0:
		return Demand{}
	case 1:
		return Demand{Name: fields[0]}
	}
	return Demand{fields[0], strings.ToLower(fields[1]), strings.Join(fields[2:], " ")}
}

// MetBy looks among both kinds of an agent's capabilities: a demand knows no
// difference.
func (d Demand) MetBy(a Agent) bool {
	for _, capabilities := range []map[string]string{a.UserCapabilities, a.SystemCapabilities} {
		for name, value := range capabilities {
			if strings.EqualFold(name, d.Name) && d.Accepts(value) {
				return true
			}
		}
	}
	return false
}

// Accepts says whether a capability's value will do. Of an operator that is not
// known, having the capability is all that can be asked.
func (d Demand) Accepts(value string) bool {
	switch d.Op {
	case "-equals":
		return strings.EqualFold(value, d.Value)
	case "-gtversion": // the name says greater, the meaning is at least
		have, ok := ParseVersion(value)
		least, known := ParseVersion(d.Value)
		return ok && known && slices.Compare(have, least) >= 0
	}
	return true
}

// ParseVersion reads numbers between dots: 4.10 is newer than 4.9. What follows a
// hyphen is left out; a missing number is zero, so that 4.10 is 4.10.0.
func ParseVersion(s string) (numbers []int, ok bool) {
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
