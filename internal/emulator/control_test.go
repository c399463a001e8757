package emulator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestControl uses every method of Control against the methods of Emulator.
func TestControl(t *testing.T) {
	w := newWorld(t)
	c := NewControl(w.url+"/", nil)
	ctx := w.ctx()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	env, pat, err := c.Environment(ctx)
	must(err)
	if diff := cmp.Diff(w.Environment(w.url), env); diff != "" || pat != w.DefaultPAT {
		t.Errorf("the environment differs: %s", diff)
	}
	if env[0] != (EnvVar{"AZP_URL", w.url + "/emulated"}) || env[3].Value != w.header {
		t.Errorf("the environment is %v", env)
	}
	l := w.start("a1")
	j, err := c.QueueJob(ctx, JobSpec{Name: "n", Script: "s", Env: map[string]string{"A": "B"}})
	must(err)
	j2, err := c.Job(ctx, j.RequestID)
	must(err)
	if diff := cmp.Diff(j, j2); diff != "" || j.State != JobAssigned {
		t.Errorf("the job differs: %s", diff)
	}
	job := l.takeJob()
	w.want(204, w.call("POST", job.base+"/timelines/"+job.timeline+"/records/"+job.step+"/feed"+vp, job.token, obj{"value": []string{"one"}}))
	if s, err := c.JobLog(ctx, j.RequestID); s != "one\n" || err != nil {
		t.Errorf("the log is %q, %v", s, err)
	}
	must(c.CancelJob(ctx, j.RequestID))
	if j, _ = c.Job(ctx, j.RequestID); !j.Canceling {
		t.Errorf("the job is %+v", j)
	}
	if _, err := c.Job(ctx, 99); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := c.QueueJob(ctx, JobSpec{Pool: "x"}); err == nil || !strings.Contains(err.Error(), "there is no pool") {
		t.Error(err)
	}
	s, err := c.State(ctx)
	must(err)
	if diff := cmp.Diff(w.State(), s); diff != "" {
		t.Errorf("the state differs: %s", diff)
	}
	events, err := c.Events(ctx, 0)
	must(err)
	ev, err := c.WaitEvent(ctx, 0, func(e Event) bool { return e.Type == EventJobCanceling })
	must(err)
	if ev != events[len(events)-1] {
		t.Errorf("the last event is %+v, not %+v", events[len(events)-1], ev)
	}
	calls, err := c.Calls(ctx)
	must(err)
	if diff := cmp.Diff(w.Calls(), calls); diff != "" || len(calls) == 0 {
		t.Errorf("the calls differ: %s", diff)
	}
	for _, call := range calls {
		if strings.HasPrefix(call.Path, "/_emulator") {
			t.Errorf("a control call is in the records: %+v", call)
		}
	}
	must(c.ClearCalls(ctx))
	if calls, err = c.Calls(ctx); err != nil || len(calls) != 0 {
		t.Errorf("after clearing there are %v, %v", calls, err)
	}
}

func TestControlHooks(t *testing.T) {
	w := newWorld(t)
	c := NewControl(w.url, nil)
	ctx := w.ctx()
	id, err := c.AddFault(ctx, Fault{Path: "pools", Status: 500, Delay: time.Millisecond, Times: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.want(500, w.call("GET", pools, w.admin(), nil))
	faults, err := c.Faults(ctx)
	if diff := cmp.Diff(w.Faults(), faults); diff != "" || err != nil || faults[0].Delay != time.Millisecond {
		t.Errorf("the faults differ: %s, %v", diff, err)
	}
	if err := c.RemoveFault(ctx, id); err != nil || len(w.Faults()) != 0 {
		t.Error(err, w.Faults())
	}
	if err := c.RemoveFault(ctx, ""); err != nil {
		t.Error(err)
	}
	hold, err := c.AddHold(ctx, Hold{Path: "pools"})
	if err != nil {
		t.Fatal(err)
	}
	g := w.want(200, w.call("GET", "!/_emulator/holds/"+hold+"/reached?wait=1ms", "", nil))
	if g.at("reached") != false {
		t.Errorf("nobody is held: %s", g.raw)
	}
	answer := make(chan got, 1)
	go func() {
		g, _ := w.try(ctx, "GET", pools, w.admin(), nil)
		answer <- g
	}()
	if err := c.WaitHold(ctx, hold); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(ctx, hold); err != nil {
		t.Fatal(err)
	}
	w.want(200, <-answer)
	if err := c.Release(ctx, "x"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for path, body := range map[string]string{
		"faults": `{"status":500,"tims":1}`, "faults ": `{"delay":"soon"}`, "holds": `{"when":"later"}`, "jobs": `{`, "clock": `{"advance":"-1h"}`,
	} {
		if g := w.call("POST", "!/_emulator/"+strings.TrimSpace(path), "", body); g.StatusCode != 400 || g.text("error") == "" {
			t.Errorf("%s %s answered %d %s", path, body, g.StatusCode, g.raw)
		}
	}
	w.want(200, w.call("GET", "!/_emulator/holds", "", nil))
	w.want(200, w.call("DELETE", "!/_emulator/holds", "", nil))
	w.want(400, w.call("GET", "!/_emulator/events?after=x", "", nil))
	w.want(400, w.call("GET", "!/_emulator/events?wait=x", "", nil))
	w.want(400, w.call("GET", "!/_emulator/holds/x/reached?wait=x", "", nil))
	if g := w.want(200, w.call("GET", "!/_emulator/events?after=9999", "", nil)); g.raw != "[]\n" {
		t.Errorf("no events are %s", g.raw)
	}
	w.want(404, w.call("GET", "!/_emulator/nothing", "", nil))
}

func TestControlWorld(t *testing.T) {
	w := newWorld(t)
	c := NewControl(w.url, nil)
	ctx := w.ctx()
	oid := newGUID()
	in := Identity{ObjectID: oid, Name: "i", Member: true, Roles: Roles{"Default": RoleReader}, Attached: true, TokenLife: time.Hour}
	if err := c.PutIdentity(ctx, in); err != nil {
		t.Fatal(err)
	}
	auth := "Bearer " + w.want(200, w.msi("&object_id="+oid)).text("access_token")
	if g := w.want(200, w.call("GET", pools, auth, nil)); g.num("count") != 1 {
		t.Errorf("the pools are %s", g.raw)
	}
	in.Roles = nil
	if err := c.PutIdentity(ctx, in); err != nil {
		t.Fatal(err)
	}
	if g := w.want(200, w.call("GET", pools, auth, nil)); g.num("count") != 0 {
		t.Errorf("without a role the pools are %s", g.raw)
	}
	in.Roles = Roles{"*": "King"}
	if err := c.PutIdentity(ctx, in); err == nil || !strings.Contains(err.Error(), `the role "King"`) {
		t.Error(err)
	}
	if err := w.PutIdentity(Identity{}); err == nil {
		t.Error("an identity without id was accepted")
	}
	p, err := c.PutPAT(ctx, PAT{Name: "mine", Roles: Roles{"*": RoleReader}, Expires: w.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	w.want(200, w.call("GET", pools, basic(p.Token), nil))
	if err := c.Advance(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	w.want(401, w.call("GET", pools, basic(p.Token), nil))
	w.want(401, w.call("GET", pools, auth, nil))
	if _, err := c.PutPAT(ctx, PAT{Owner: "nobody"}); err == nil {
		t.Error("a token of nobody was accepted")
	}
	if err := c.SetAssumptions(ctx, Assumptions{LongAssertions: true}); err != nil || !w.Assumptions().LongAssertions {
		t.Error(err, w.Assumptions())
	}
	w.want(200, w.call("GET", "!/_emulator/assumptions", "", nil))
	if g := w.want(200, w.call("GET", "!/_emulator/identities", "", nil)); !strings.Contains(g.raw, oid) {
		t.Errorf("the identities are %s", g.raw)
	}
	g := w.want(200, w.call("POST", "!/_emulator/tokens", "", obj{"objectId": oid}))
	w.want(200, w.call("GET", pools, "Bearer "+g.text("token"), nil))
	g = w.want(200, w.call("POST", "!/_emulator/tokens", "", obj{"subject": "system:serviceaccount:keda:keda-operator"}))
	if tok, err := parseJWT(g.text("token")); err != nil || tok.claims.Subject != "system:serviceaccount:keda:keda-operator" || tok.claims.Audience != FederationAudience {
		t.Errorf("a workload's token says %+v, %v", tok, err)
	}
	if _, err := w.IssueToken("nobody", ""); err == nil {
		t.Error("a token for nobody was issued")
	}
}

// TestClosed: after Close, calls are answered with 503, and waits end.
func TestClosed(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- NewControl(w.url, nil).WaitHold(ctx, must(w.AddHold(Hold{}))) }()
	w.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	w.want(503, w.call("GET", pools, w.admin(), nil))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
