package cli

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/identity"
)

// TestComplain checks the rules at the head of errors.go.
func TestComplain(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code int
		says []string
	}{
		{"nothing went wrong", nil, 0, nil},
		{"an exit code whose words were said", exitcode.Silent(75), 75, nil},
		{"left on purpose", exitcode.Silent(0), 0, nil},
		{"an error nobody gave a code", errors.New("cannot do it: because"), 70, []string{"azptend: cannot do it: because\n"}},
		{"one problem with the settings",
			exitcode.With(64, &config.InvalidError{Problems: []config.Problem{{What: "AZP_URL (--url) is not set", Hint: "it looks like this"}}}),
			64, []string{"azptend: cannot use the settings: AZP_URL (--url) is not set\nhint: it looks like this\n"}},
		{"several problems",
			exitcode.With(64, &config.InvalidError{Problems: []config.Problem{{What: "one"}, {What: "two", Hint: "do"}}}),
			64, []string{"azptend: cannot use the settings: 2 problems\n  one\n  two\n  hint: do\n"}},
		{"a pool that is not seen", exitcode.With(77, fmt.Errorf("cannot find agent pool %q: %w", "X", azdo.ErrNoPool)),
			77, []string{"azptend: cannot find agent pool \"X\": no such agent pool", "\nhint: check that the pool exists"}},
		{"a pool that is not seen, but others are", &azdo.NoPoolError{Op: "find agent pool 7", Known: true, Sees: []string{"linux"}},
			77, []string{"cannot find agent pool 7: no such agent pool is visible to this identity, which sees \"linux\"", "hint: check AZP_POOL (--pool) or AZP_POOL_ID"}},
		{"no pool is seen", &azdo.NoPoolError{Op: "find agent pool 7", Known: true}, 77, []string{", nor is any other", "hint: give it a Basic licence"}},
		{"settings, for a machine",
			exitcode.With(64, &config.InvalidError{LogFormat: "json", Problems: []config.Problem{{What: "one"}, {What: "two", Hint: "do"}}}),
			64, []string{`"level":"ERROR","msg":"Cannot use the settings","error":"one","hint":""}` + "\n{", `"error":"two","hint":"do"}` + "\n"}},
		{"a page of the airport's", &azdo.Error{Op: "look", Status: 200, Cause: azdo.ErrNotJSON}, 69, []string{"hint: check AZP_URL (--url), and whether a proxy"}},
		{"an address that leads elsewhere", &azdo.Error{Op: "look", Status: 302, Cause: azdo.ErrRedirect}, 69, []string{"hint: set AZP_URL (--url) to the organisation's own address"}},
		{"a token that has expired", &azdo.Error{Op: "look", Status: 401, Message: "Access Denied: The Personal Access Token used has expired."}, 77, []string{"hint: create a new token"}},
		{"an identity that is no user", &azdo.Error{Op: "look", Status: 401, Message: `TF401444: Please sign-in at least once as t\t\o`}, 77, []string{"hint: add the identity that the message names"}},
		{"an identity that is refused", &azdo.Error{Op: "look", Status: 401, Message: "TF400813: The user 'x' is not authorized"}, 77, []string{"hint: check that the identity that the message names is a user"}},
		{"a policy", &azdo.Error{Op: "look", Status: 403, Message: "VS403463: The conditional access policy"}, 77, []string{"hint: ask an administrator of Microsoft Entra: a conditional access policy"}},
		{"a folder without an agent", &agentdir.DirError{Dir: "/azp", Why: "it is empty", Hint: "unpack it"},
			78, []string{"azptend: cannot use the agent directory /azp: it is empty\nhint: unpack it\n"}},
		{"an identity that may not", &azdo.Error{Op: "add agent 7", Status: 403, Message: "needs Manage permissions"},
			77, []string{"cannot add agent 7: Azure DevOps says 403: needs Manage permissions", "hint: give the identity the Administrator role"}},
		{"an identity nobody knows", &azdo.Error{Op: "look", Status: 401}, 77, []string{"hint: check that the identity is a user of the organisation"}},
		{"a sign-in page", &azdo.Error{Op: "look", Status: 401, Cause: azdo.ErrSignIn}, 77, []string{"hint: use a token for Azure DevOps that is valid"}},
		{"an organisation that is not there", &azdo.Error{Op: "look", Status: 404}, 69, []string{"hint: check the organisation's name"}},
		{"a host that has no name", &azdo.Error{Op: "look", Cause: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "devops.invalid", IsNotFound: true}}},
			69, []string{"lookup devops.invalid: no such host", "hint: check AZP_URL (--url), and that this network resolves public names"}},
		{"an endpoint's no", &identity.EndpointError{Status: 400, Message: "no such identity"}, 70,
			[]string{"azptend: the identity endpoint says 400", "hint: assign the identity to this container app"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if code := (Process{settings: &config.Settings{}}).complain(&b, tt.err); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if len(tt.says) == 0 && b.Len() > 0 {
				t.Errorf("says %q", b.String())
			}
			for _, want := range tt.says {
				if !strings.Contains(b.String(), want) {
					t.Errorf("says %q, which lacks %q", b.String(), want)
				}
			}
		})
	}
}
