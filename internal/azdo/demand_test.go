package azdo_test

import (
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
)

// FuzzDemand: an agent with exactly the demanded capability meets the demand, and an agent
// without capabilities does not.
func FuzzDemand(f *testing.F) {
	for _, s := range []string{"docker", "", " ", "Agent.OS -equals Linux", "x -equals a b", "Agent.Version -gtVersion 2.182.1", "v -gtVersion", "v -gtVersion x", "v -like y", "-equals", "\tx\n-EQUALS  y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d := azdo.ParseDemand(line)
		if strings.ContainsAny(d.Name, " \t\n") || d.Op != strings.ToLower(d.Op) {
			t.Errorf("%q is read as %+v", line, d)
		}
		if d.MetBy(azdo.Agent{}) {
			t.Errorf("an agent that can do nothing meets %q", line)
		}
		_, isVersion := azdo.ParseVersion(d.Value)
		able := azdo.Agent{SystemCapabilities: map[string]string{strings.ToUpper(d.Name): d.Value}}
		if strings.EqualFold(strings.ToUpper(d.Name), d.Name) && !d.MetBy(able) && (d.Op != "-gtversion" || isVersion) {
			t.Errorf("an agent that has what %q asks for does not meet it", line)
		}
	})
}
