package azdo

import (
	"slices"
	"strconv"
	"strings"
)

// Demand is a demand of a job: its agent must have a capability, or a capability with a
// certain value (azure-devops-rest.md 2.4).
type Demand struct {
	Name  string
	Op    string // in lower case: "", "-equals", "-gtversion", or an unknown operator
	Value string
}

// ParseDemand parses "name", "name -equals value" and "name -gtVersion value".
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

// MetBy says whether an agent meets the demand, with a user or a system capability.
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

// Accepts says whether a capability's value meets the demand. With an unknown operator, any
// value does.
func (d Demand) Accepts(value string) bool {
	switch d.Op {
	case "-equals":
		return strings.EqualFold(value, d.Value)
	case "-gtversion": // despite its name it means "at least"
		have, ok := ParseVersion(value)
		least, known := ParseVersion(d.Value)
		return ok && known && slices.Compare(have, least) >= 0
	}
	return true
}

// ParseVersion parses the numbers of a version, which slices.Compare can compare: 4.10 is
// newer than 4.9. Text after a hyphen is ignored. Zeros at the end are dropped, so 4.10 and
// 4.10.0 are equal.
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
