package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agent"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
)

// TestComplain holds the rules of the voice at the head of errors.go.
func TestComplain(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code int
		says []string
	}{
		{"nothing went wrong", nil, 0, nil},
		{"an exit code whose words were said", silent(75), 75, nil},
		{"left on purpose", silent(0), 0, nil},
		{"an error nobody gave a code", errors.New("cannot do it: because"), 70, []string{"azptend: cannot do it: because\n"}},
		{"one problem with the settings",
			&exitError{64, &config.InvalidError{Problems: []config.Problem{{What: "AZP_URL (--url) is not set", Hint: "it looks like this"}}}},
			64, []string{"azptend: cannot use the settings: AZP_URL (--url) is not set\nhint: it looks like this\n"}},
		{"several problems",
			&exitError{64, &config.InvalidError{Problems: []config.Problem{{What: "one"}, {What: "two", Hint: "do"}}}},
			64, []string{"azptend: cannot use the settings: 2 problems\n  one\n  two\n  hint: do\n"}},
		{"a pool that is not seen", &exitError{77, fmt.Errorf("cannot find agent pool %q: %w", "X", azdo.ErrNoPool)},
			77, []string{"azptend: cannot find agent pool \"X\": no agent pool", "\nhint: if the pool exists, the identity may not see it"}},
		{"a folder without an agent", &agent.UnfitError{Folder: "/azp", Why: "it is empty", Hint: "unpack it"},
			70, []string{"azptend: cannot use the agent folder /azp: it is empty\nhint: unpack it\n"}},
		{"an identity that may not", &azdo.Error{Op: "add agent 7", Status: 403, Message: "needs Manage permissions"},
			70, []string{"cannot add agent 7: Azure DevOps says 403: needs Manage permissions", "hint: give the identity the Administrator role"}},
		{"an identity nobody knows", &azdo.Error{Op: "look", Status: 401}, 70, []string{"hint: is the identity a user of the organisation"}},
		{"a sign-in page", &azdo.Error{Op: "look", Status: 401, Cause: azdo.ErrSignIn}, 70, []string{"hint: the token is expired"}},
		{"an organisation that is not there", &azdo.Error{Op: "look", Status: 404}, 70, []string{"hint: is the organisation's name"}},
		{"an endpoint's no", &identity.EndpointError{Status: 400, Message: "no such identity"}, 70,
			[]string{"azptend: the identity endpoint says 400", "hint: is the identity assigned to this container app"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if code := complain(&b, tt.err); code != tt.code {
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

// TestWithoutTime: the demo shows a job's lines as the script wrote them.
func TestWithoutTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-22T21:01:06.8401002Z hello": "hello",
		"hello":                              "hello",
		"two words":                          "two words",
	} {
		if got := withoutTime(in); got != want {
			t.Errorf("withoutTime(%q) = %q, want %q", in, got, want)
		}
	}
}
