package emulator

import (
	"strconv"
	"strings"
)

// demand is one line of a job's demands: "name", "name -equals v" or "name -gtVersion v".
type demand struct{ name, op, value string }

func parseDemand(s string) demand {
	name, rest, found := strings.Cut(strings.TrimSpace(s), " ")
	if !found {
		return demand{name: name}
	}
	op, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return demand{name, strings.ToLower(op), strings.TrimSpace(value)}
}

// splitDemands reads the query's form: one comma-joined value (azure-devops-rest.md 2.2).
func splitDemands(s string) []string {
	var out []string
	for f := range strings.SplitSeq(s, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// satisfies reports whether the agent's capabilities, its system's and its user's, meet all demands.
func (a *agent) satisfies(demands []string) bool {
	for _, s := range demands {
		if !a.meets(parseDemand(s)) {
			return false
		}
	}
	return true
}

func (a *agent) meets(d demand) bool {
	for _, caps := range []map[string]string{a.user, a.system} {
		for name, value := range caps {
			if strings.EqualFold(name, d.name) && d.accepts(value) {
				return true
			}
		}
	}
	return false
}

func (d demand) accepts(value string) bool {
	switch d.op {
	case "":
		return true
	case "-equals":
		return strings.EqualFold(value, d.value)
	case "-gtversion": // the name says greater, the meaning is at least
		have, ok1 := versionNumbers(value)
		want, ok2 := versionNumbers(d.value)
		if !ok1 || !ok2 {
			return false
		}
		for i := range have {
			if have[i] != want[i] {
				return have[i] > want[i]
			}
		}
		return true
	}
	return false
}

// versionNumbers reads "5.282.3"; a fourth number is allowed and ignored.
func versionNumbers(s string) (v [3]int, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 3 || len(parts) > 4 {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, false
		}
		if i < len(v) {
			v[i] = n
		}
	}
	return v, true
}

type versionJSON struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

func splitVersion(s string) versionJSON {
	v, _ := versionNumbers(s)
	return versionJSON{v[0], v[1], v[2]}
}
