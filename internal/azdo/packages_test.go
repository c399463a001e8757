package azdo_test

import (
	"testing"

	"github.com/azptend/azptend/internal/azdo"
)

func TestAgentPackage(t *testing.T) {
	const row = `{"type":"agent","platform":"linux-x64","createdOn":"2026-10-01T00:00:00Z","version":{"major":4,"minor":260,"patch":0},
		"downloadUrl":"https://download.agent.dev.azure.com/agent/4.260.0/vsts-agent-linux-x64-4.260.0.tar.gz","hashValue":"AB12","filename":"vsts-agent-linux-x64-4.260.0.tar.gz"}`
	for name, tt := range map[string]struct {
		version, answer string
		found           bool
	}{
		"the newest":             {"", `{"count":1,"value":[` + row + `]}`, true},
		"no package":             {"", `{"count":0,"value":[]}`, false},
		"a version":              {"4.260.0", `{"count":2,"value":[{"version":{"major":4,"minor":261,"patch":0},"downloadUrl":"x"},` + row + `]}`, true},
		"a version there is not": {"4.1.0", `{"count":1,"value":[` + row + `]}`, false},
		"one without an address": {"", `{"count":1,"value":[{}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, says(200, asJSON, tt.answer))
			p, found, err := s.client.AgentPackage(t.Context(), "agent", "linux-x64", tt.version)
			if err != nil || found != tt.found {
				t.Fatalf("found is %v, %v", found, err)
			}
			if found && (p.Version.String() != "4.260.0" || p.HashValue != "AB12") {
				t.Errorf("the package is %+v", p)
			}
		})
	}
}

// TestOwn: where the organisation's token may go.
func TestOwn(t *testing.T) {
	c := azdo.New("https://server/tfs/DefaultCollection", nil, nil, nil)
	for address, own := range map[string]bool{
		"https://SERVER/tfs/_apis/resources/a.tar.gz": true, "http://server/tfs/a.tar.gz": false,
		"https://server.evil/a.tar.gz": false, "https://download.agent.dev.azure.com/a.tar.gz": false, "%": false,
	} {
		if c.Own(address) != own {
			t.Errorf("%s: own is %v", address, !own)
		}
	}
}
