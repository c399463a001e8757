package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

// TestHintsFollowFromTheSettings: a hint names the settings of the chosen identity, and no
// others.
func TestHintsFollowFromTheSettings(t *testing.T) {
	unreachable := fmt.Errorf("cannot get a token: %w at 169.254.169.254", identity.ErrNoEndpoint)
	unassigned := &identity.EndpointError{Status: 400, Message: "Identity not found"}
	refused, unseen := &azdo.Error{Op: "look", Status: 401}, &azdo.NoPoolError{Op: "find agent pool 7", Known: true}
	const object, client, secret = "0000000a-0000-4000-8000-000000000000", "0000000c-0000-4000-8000-000000000000", "AZP_CLIENTSECRET=long-enough-secret"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		environ []string
		err     error
		has     string
		lacks   string // a pattern
	}{
		{"nothing is set", nil, unreachable, "set AZP_TOKEN or AZP_TOKEN_FILE", "container app"},
		{"nothing is set, on Azure", nil, unassigned, "set AZP_TOKEN or AZP_TOKEN_FILE", "check that"},
		{"nothing is set, on another cloud", nil, &identity.EndpointError{Status: 403, Message: "the answer is text/plain"}, "set AZP_TOKEN or AZP_TOKEN_FILE", "IDENTITY_HEADER"},
		{"an object id, and no endpoint", []string{"MANAGED_IDENTITY_OBJECT_ID=" + object}, &identity.EndpointError{Status: 403}, "assign the identity", "IDENTITY_HEADER"},
		{"another container's header", []string{"IDENTITY_ENDPOINT=http://localhost:1", "IDENTITY_HEADER=x"}, &identity.EndpointError{Status: 403}, "IDENTITY_HEADER", "AZP_TOKEN"},
		{"an object id", []string{"MANAGED_IDENTITY_OBJECT_ID=" + object}, unassigned, "MANAGED_IDENTITY_OBJECT_ID is its object", "USRMI_ID|AZP_TOKEN"},
		{"a client id", []string{"USRMI_ID=" + client}, unassigned, "USRMI_ID is its client id", "OBJECT_ID|AZP_TOKEN"},
		{"the platform's endpoint", []string{"IDENTITY_ENDPOINT=http://localhost:1", "IDENTITY_HEADER=x"}, unassigned, "system-assigned", "AZP_TOKEN"},
		{"an identity that is refused", []string{"MANAGED_IDENTITY_OBJECT_ID=" + object}, refused, "a user of the organisation", "personal access|PAT|AZP_TOKEN"},
		{"a PAT that is refused", []string{"AZP_TOKEN=a-token"}, refused, "token in AZP_TOKEN has not expired", "AZP_TOKEN_FILE|MANAGED_IDENTITY|identity is a user"},
		{"a PAT that may be global", []string{"AZP_TOKEN=a-token"}, refused, "stops accepting global PATs (scope: all accessible organizations) on 2026-12-01", "MANAGED_IDENTITY"},
		{"a file that is refused", []string{"AZP_TOKEN_FILE=" + file}, refused, "file of AZP_TOKEN_FILE", "AZP_TOKEN |MANAGED_IDENTITY"},
		{"a PAT that sees no pool", []string{"AZP_TOKEN=a-token"}, unseen, "scope Agent Pools", "azptend setup|tenant"},
		{"an identity that sees no pool", []string{"MANAGED_IDENTITY_OBJECT_ID=" + object}, unseen, "azptend setup --url https://dev.azure.com/contoso --pool Linux --identity " + object + " --apply", "AZP_TOKEN|PAT"},
		{"a service principal", []string{"AZP_CLIENTID=" + client, "AZP_TENANTID=contoso.com", secret}, &identity.EndpointError{Endpoint: "Entra ID", Status: 401}, "check AZP_CLIENTID and AZP_TENANTID", "AZURE_"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := config.Load(nil, append(tt.environ, "AZP_URL=https://dev.azure.com/contoso", "AZP_POOL=Linux"), "host")
			if err != nil {
				t.Fatal(err)
			}
			p := Process{settings: &s}
			if hint := p.hintFor(tt.err); !strings.Contains(hint, tt.has) || regexp.MustCompile(tt.lacks).MatchString(hint) {
				t.Errorf("the hint is %q: it should have %q, and not %q", hint, tt.has, tt.lacks)
			}
		})
	}
}

func TestHintsOfErrors(t *testing.T) {
	for _, err := range []error{&pool.NameTakenError{}, &pool.ClosedError{}, &pool.InvalidVersionError{}, &setup.Error{Cause: azdo.ErrNoPool, Advice: "see the portal"},
		setup.ErrSelf, azdo.ErrAzureDevOpsServer, proc.ErrStartTimeout, proc.ErrThreadsBusy} {
		if (Process{settings: &config.Settings{}}).hintFor(exitcode.With(1, err)) == "" {
			t.Errorf("%T has no hint", err)
		}
	}
}
