package text

import "testing"

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 agents", 1: "1 agent", 2: "2 agents"} {
		if got := Count(n, "agent"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"pool", "pool", 0}, {"pool", "pol", 1}, {"pool", "poool", 1}, {"pool", "pull", 2}, {"", "abc", 3}, {"run", "rnu", 1}, {"prune", "rpuen", 2}, {"ab", "ba", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"TOKEN", "WORK", "POOL", "AGENT_NAME", "Default", "Linux builds", "Azure Pipelines"}
	for name, want := range map[string]string{
		"TOKNE": "TOKEN", "WORKDIR": "WORK", "AGENTNAME": "AGENT_NAME", "linux-build": "Linux builds",
		"Defualt": "Default", "LinuxBuild": "Linux builds", "FOO": "", "": "", "windows": "", "Azure": "",
	} {
		if got := Nearest(name, candidates); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
