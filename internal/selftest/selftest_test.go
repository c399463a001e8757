package selftest_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/selftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedKey saves each trial the time that a key takes.
var sharedKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := agentdir.GenerateKey()
	if err != nil {
		panic(err)
	}
	return key
})

type bearer string

func (b bearer) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New(string(b)), nil
}

// org is an emulated organisation without sockets, on which a bubble's goroutines
// could not wait.
type org struct {
	*emulator.Emulator
	calls  int
	before func(call int) // nil: nothing
}

func newOrg(t *testing.T, beliefs emulator.Assumptions) *org {
	t.Helper()
	e, err := emulator.New(emulator.Options{Assumptions: beliefs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return &org{Emulator: e}
}

// RoundTrip is a network of one host.
func (o *org) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	o.calls++
	if o.before != nil {
		o.before(o.calls)
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	defer func() {
		if recover() != nil { // the emulator breaks the connection
			resp, err = nil, errors.New("the connection was closed")
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

func (o *org) run(ctx context.Context, t *testing.T, tell func(selftest.Row)) (selftest.Report, error) {
	t.Helper()
	i := slices.IndexFunc(o.Identities(), func(id emulator.Identity) bool { return id.Attached })
	token, err := o.IssueToken(o.Identities()[i].ObjectID, "")
	if err != nil {
		t.Fatal(err)
	}
	const url = "http://devops.test/emulated"
	web := &http.Client{Transport: o}
	return selftest.Run(ctx, selftest.Options{
		Server: azdo.New(url, web, bearer("Bearer "+token), nil), Web: web, ServerURL: url, PoolID: 1, Key: sharedKey(), OnRow: tell,
		AsAgent: func(a azdo.Authorizer) selftest.Requester { return azdo.New(url, web, a, nil) },
	})
}

func row(r selftest.Report, id string) selftest.Row {
	i := slices.IndexFunc(r.Rows, func(row selftest.Row) bool { return row.ID == id })
	if i < 0 {
		return selftest.Row{}
	}
	return r.Rows[i]
}

func (o *org) agents() int { return len(o.State().Pool("Default").Agents) }

func TestAsBelieved(t *testing.T) {
	o := newOrg(t, emulator.Assumptions{})
	report, err := o.run(t.Context(), t, nil)
	if err != nil || len(report.Left) > 0 || o.agents() != 0 {
		t.Fatalf("%v, left %v, %d agents", err, report.Left, o.agents())
	}
	for _, r := range report.Rows {
		if r.Verdict != selftest.AsExpected && r.Verdict != selftest.NotTried {
			t.Errorf("%s is %s: %s", r.ID, r.Verdict, r.Seen)
		}
		if r.Verdict == selftest.AsExpected && r.Seen == "" || r.Verdict == selftest.NotTried && r.Fallback == "" {
			t.Errorf("%s says nothing: %+v", r.ID, r)
		}
	}
	onlineWhileEnabled(t, o)
}

// onlineWhileEnabled fails where a job could have come to an agent of the test.
func onlineWhileEnabled(t *testing.T, o *org) {
	t.Helper()
	events, err := o.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	switched := map[int]bool{} // agents that were ever enabled
	for _, e := range events {
		switch e.Type {
		case emulator.EventAgentEnabled:
			switched[e.AgentID] = true
		case emulator.EventSessionCreated:
			if switched[e.AgentID] {
				t.Errorf("agent %d went online, and had been enabled", e.AgentID)
			}
		case emulator.EventJobAssigned:
			t.Errorf("job %d was assigned to agent %d", e.RequestID, e.AgentID)
		}
	}
}

// TestEachFlip: a belief that is otherwise is seen in its own row, is covered, and
// nothing is left. A job waits in the pool all the while, and never comes.
func TestEachFlip(t *testing.T) { synctest.Test(t, eachFlip) }

func eachFlip(t *testing.T) {
	o := newOrg(t, emulator.Assumptions{})
	if _, err := o.QueueJob(emulator.JobSpec{Script: "true", Force: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		row     string
		beliefs emulator.Assumptions
	}{
		{"missing-pool", emulator.Assumptions{MissingPoolForbidden: true}},
		{"read-own-write", emulator.Assumptions{StaleReads: true}},
		{"post-capabilities", emulator.Assumptions{CreateDropsUserCapabilities: true}},
		{"post-enabled", emulator.Assumptions{CreateIgnoresEnabled: true}},
		{"get-authorization", emulator.Assumptions{GetShowsAuthorization: true}},
		{"name-taken-status", emulator.Assumptions{NameTakenBadRequest: true}},
		{"patch-id", emulator.Assumptions{PatchWithoutID: true}},
		{"patch-id-refused", emulator.Assumptions{PatchRefusesID: true}},
		{"capabilities-path", emulator.Assumptions{NoUserCapabilities: true}},
		{"preview-version", emulator.Assumptions{PlainVersionOnPreview: true}},
		{"put-capabilities", emulator.Assumptions{ReplaceKeepsUserCapabilities: true}},
		{"put-enabled", emulator.Assumptions{ReplaceEnables: true}},
		{"put-session", emulator.Assumptions{ReplaceEndsSession: true}},
		{"assertion-life", emulator.Assumptions{LongAssertions: true}},
		{"session-capabilities", emulator.Assumptions{SessionDropsUserCapabilities: true}},
		{"delete-status", emulator.Assumptions{DeleteAnswers200: true}},
		{"delete-missing", emulator.Assumptions{DeleteMissingSucceeds: true}},
		{"removed-agent", emulator.Assumptions{RemovedAgentUnauthorized: true}},
		{"session-after-delete", emulator.Assumptions{SessionOutlivesAgent: true}},
		{"", emulator.Assumptions{DisableActsLate: true}},
	} {
		o.SetAssumptions(c.beliefs)
		report, err := o.run(t.Context(), t, nil)
		if err != nil || len(report.Left) > 0 || o.agents() != 0 || len(report.Uncovered()) > 0 {
			t.Errorf("%s: %v, left %v, %d agents, uncovered %v", c.row, err, report.Left, o.agents(), report.Uncovered())
		}
		if r := row(report, c.row); c.row != "" && (r.Verdict != selftest.Covered || r.Fallback == "") {
			t.Errorf("%s: %+v", c.row, r)
		}
		for _, r := range report.Rows {
			if r.Verdict == selftest.Covered && r.ID != c.row && !follows(c.row, r.ID) {
				t.Errorf("%s flipped: %s is %s: %s", c.row, r.ID, r.Verdict, r.Seen)
			}
		}
	}
	onlineWhileEnabled(t, o)
}

// follows says that one belief cannot be flipped without the other.
func follows(flipped, other string) bool {
	return flipped == "patch-id-refused" && other == "patch-id" || flipped == "session-after-delete" && other == "removed-agent"
}

// What azptend has no answer to is said.
func TestNotCovered(t *testing.T) {
	o := newOrg(t, emulator.Assumptions{})
	for _, c := range []struct {
		row   string
		fault emulator.Fault
	}{
		{"token", emulator.Fault{Path: "oauth2/token", Status: 400, Body: `{"error":"invalid_client"}`}},
		{"session", emulator.Fault{Path: "/sessions", Status: 403, Body: `{"typeKey":"AccessDeniedException"}`}},
		{"name-length", emulator.Fault{Method: "POST", Path: "/agents", Times: 1, Status: 400, Body: `{"message":"too long"}`}},
		{"add", emulator.Fault{Method: "POST", Path: "/agents", Times: 1, Status: 200, Body: `{"id":0}`}},
		{"name-taken-status", emulator.Fault{Method: "POST", Path: "/agents", Nth: 2, Times: 1, Status: 400, Body: `{"message":"no"}`}},
	} {
		if _, err := o.AddFault(c.fault); err != nil {
			t.Fatal(err)
		}
		report, err := o.run(t.Context(), t, nil)
		o.RemoveFault("")
		if (err != nil) != (c.row == "add") || row(report, c.row).Verdict != selftest.NotCovered || o.agents() != 0 {
			t.Errorf("%s: %+v, %v, %d agents", c.row, row(report, c.row), err, o.agents())
		}
	}
}

// Two that are each covered need not be together.
func TestNoWayToMark(t *testing.T) {
	o := newOrg(t, emulator.Assumptions{CreateDropsUserCapabilities: true, NoUserCapabilities: true})
	report, err := o.run(t.Context(), t, nil)
	if err != nil || row(report, "capabilities-path").Verdict != selftest.NotCovered || row(report, "session-capabilities").Verdict != selftest.Unknown {
		t.Errorf("%v: %+v, %+v", err, row(report, "capabilities-path"), row(report, "session-capabilities"))
	}
}

// TestCleansUp: whatever call fails, whoever interrupts, nothing is left in the
// pool; and where something had to be, it is named.
func TestCleansUp(t *testing.T) { synctest.Test(t, cleansUp) }

func cleansUp(t *testing.T) {
	o := newOrg(t, emulator.Assumptions{})
	whole, err := o.run(t.Context(), t, nil)
	if err != nil || len(whole.Left) > 0 {
		t.Fatal(err)
	}
	calls := o.calls
	if calls < 25 || calls > 45 {
		t.Errorf("it makes %d calls", calls)
	}
	for nth := 1; nth <= calls; nth++ {
		for name, fault := range map[string]emulator.Fault{
			"503": {Status: 503}, "lost before": {DropAnswer: emulator.DropBefore}, "lost after": {DropAnswer: emulator.DropAfter}, "interrupted": {},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			o.calls, o.before = 0, nil
			if name == "interrupted" {
				o.before = func(call int) {
					if call == nth {
						cancel()
					}
				}
			} else {
				fault.Nth, fault.Times = nth, 1
				if _, err := o.AddFault(fault); err != nil {
					t.Fatal(err)
				}
			}
			report, err := o.run(ctx, t, nil)
			cancel()
			o.RemoveFault("")
			if name == "interrupted" && !errors.Is(err, context.Canceled) && nth < calls-4 {
				t.Errorf("interrupted at call %d: %v", nth, err)
			}
			if o.agents() > 0 || len(report.Left) > 0 {
				t.Fatalf("%s at call %d: %d agents are left, %v", name, nth, o.agents(), report.Left)
			}
		}
	}
}

// What cannot be removed is named.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(t, emulator.Assumptions{})
		if _, err := o.AddFault(emulator.Fault{Method: "DELETE", Path: "/agents/", Status: 503}); err != nil {
			t.Fatal(err)
		}
		report, err := o.run(t.Context(), t, nil)
		if err == nil || len(report.Left) != 1 || !strings.Contains(report.Left[0], "agent 1 in pool 1, whose name begins with azptend-selftest-") ||
			row(report, "clean").Verdict != selftest.NotCovered || o.agents() != 1 {
			t.Errorf("left %v, %v", report.Left, err)
		}
	})
}

// TestPage: what docs/assumptions.md believes is here, tried or not, and nothing
// else but the basic things.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/assumptions.md")
	if err != nil {
		t.Fatal(err)
	}
	var page []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z0-9-]+) \|`).FindAllStringSubmatch(string(b), -1) {
		if m[1] != "id" && strings.Trim(m[1], "-") != "" {
			page = append(page, m[1])
		}
	}
	if len(page) < 20 {
		t.Fatalf("the page has only %v", page)
	}
	ids, basic := selftest.IDs()
	for _, id := range page {
		if !slices.Contains(ids, id) {
			t.Errorf("docs/assumptions.md believes %s, which is neither tried nor named with a reason", id)
		}
	}
	for _, id := range ids {
		if slices.Contains(page, id) == slices.Contains(basic, id) {
			t.Errorf("%s is tried: is it on the page, or is it basic?", id)
		}
	}
}
