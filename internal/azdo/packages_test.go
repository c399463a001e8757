package azdo_test

import (
	"fmt"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
)

// TestAgentPackages: packages with a download address, in the server's order.
func TestAgentPackages(t *testing.T) {
	row := func(patch int, address string) string {
		return fmt.Sprintf(`{"type":"agent","platform":"linux-x64","createdOn":"2026-10-01T00:00:00Z","version":{"major":5,"minor":282,"patch":%d},
			"downloadUrl":%q,"hashValue":"AB12","filename":"vsts-agent-linux-x64-5.282.%[1]d.tar.gz"}`, patch, address)
	}
	s := newServer(t, says(200, asJSON, `{"count":4,"value":[`+row(2, "x")+","+row(1, "")+","+row(0, "y")+`,{}]}`))
	list, err := s.client.AgentPackages(t.Context(), "agent", "linux-x64", false)
	if err != nil || len(list) != 2 || list[0].Version.String() != "5.282.2" || list[1].Version.String() != "5.282.0" || list[1].DownloadURL != "y" || list[1].HashValue != "AB12" {
		t.Errorf("the packages are %+v, %v", list, err)
	}
	s = newServer(t, says(200, asJSON, `{"count":0,"value":[]}`))
	if list, err := s.client.AgentPackages(t.Context(), "agent", "linux-x64", true); err != nil || len(list) != 0 {
		t.Errorf("the packages are %+v, %v", list, err)
	}
}

// TestIsOrganisationURL: to which addresses the organisation's token may be sent.
func TestIsOrganisationURL(t *testing.T) {
	c := azdo.New("https://server/tfs/DefaultCollection", nil, nil, nil)
	for address, own := range map[string]bool{
		"https://SERVER/tfs/_apis/resources/a.tar.gz": true, "http://server/tfs/a.tar.gz": false,
		"https://server.evil/a.tar.gz": false, "https://download.agent.dev.azure.com/a.tar.gz": false, "%": false,
	} {
		if c.IsOrganisationURL(address) != own {
			t.Errorf("%s: own is %v", address, !own)
		}
	}
}
