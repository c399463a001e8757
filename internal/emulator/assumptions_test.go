package emulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// assuming creates a world whose server behaves differently.
func assuming(t *testing.T, b Assumptions) *world {
	t.Helper()
	return newWorld(t, func(o *Options) { o.Assumptions = b })
}

func self(l *listener) string { return fmt.Sprint(agents, "/", l.id) }

func TestPatchAndTheIDInItsBody(t *testing.T) {
	for _, tt := range []struct {
		assumptions   Assumptions
		with, without int
	}{
		{Assumptions{}, 200, 400},
		{Assumptions{PatchWithoutID: true}, 200, 200},
		{Assumptions{PatchRefusesID: true}, 400, 200},
	} {
		w := assuming(t, tt.assumptions)
		l := w.register("a1")
		w.want(tt.with, w.call("PATCH", self(l)+v71, w.admin(), obj{"id": l.id, "enabled": false}))
		w.want(tt.without, w.call("PATCH", self(l)+v71, w.admin(), obj{"enabled": false}))
		w.want(400, w.call("PATCH", self(l)+v71, w.admin(), obj{"id": 77, "enabled": false}))
	}
}

// TestStaleReads: a write is visible a minute later, and only GET is delayed.
func TestStaleReads(t *testing.T) {
	w := assuming(t, Assumptions{StaleReads: true})
	l := w.start("a1")
	list := func() int { return len(w.call("GET", agents+"?agentName=a1", w.admin(), nil).at("value").([]any)) }
	if n := list(); n != 0 {
		t.Errorf("%d agents are shown at once", n)
	}
	w.want(404, w.call("GET", self(l), w.admin(), nil))
	w.want(409, w.call("POST", agents+v71, w.admin(), agentBody("a1")))
	w.Advance(staleFor)
	if g := w.want(200, w.call("GET", self(l), w.admin(), nil)); list() != 1 || g.text("status") != "online" {
		t.Errorf("a minute later %s is shown", g.raw)
	}
	w.want(200, w.call("PATCH", self(l)+v71, w.admin(), obj{"id": l.id, "enabled": false}))
	if g := w.call("GET", self(l), w.admin(), nil); g.at("enabled") != true {
		t.Errorf("a disabled agent is shown as %s", g.raw)
	}
	w.Advance(staleFor)
	if g := w.call("GET", self(l), w.admin(), nil); g.at("enabled") != false {
		t.Errorf("a minute later it is shown as %s", g.raw)
	}
	w.want(204, w.call("DELETE", self(l)+v71, w.admin(), nil))
	w.want(200, w.call("GET", self(l), w.admin(), nil))
	w.want(404, w.call("DELETE", self(l)+v71, w.admin(), nil))
	w.Advance(staleFor)
	w.want(404, w.call("GET", self(l), w.admin(), nil))
	for range 10 {
		w.Advance(staleFor)
	}
	if len(w.snapshots) > 2 {
		t.Errorf("%d pasts are kept", len(w.snapshots))
	}
	w.SetAssumptions(Assumptions{})
	if list() != 0 || w.snapshots != nil {
		t.Errorf("%d agents are shown, and %d pasts kept, by a server that reads in time", list(), len(w.snapshots))
	}
}

func TestDisableActsLate(t *testing.T) {
	w := assuming(t, Assumptions{DisableActsLate: true})
	l := w.start("a1")
	w.want(200, w.call("PATCH", self(l)+v71, w.admin(), obj{"id": l.id, "enabled": false}))
	w.Advance(staleFor - 1)
	if j, _ := w.QueueJob(JobSpec{}); j.State != JobAssigned {
		t.Errorf("within the minute the job is %s", j.State)
	}
	w.want(204, l.takeJob().complete("succeeded", false))
	w.Advance(1)
	if j, _ := w.QueueJob(JobSpec{}); j.State != JobQueued {
		t.Errorf("after the minute the job is %s", j.State)
	}
}

// TestSessionOutlivesAgent: its poll continues, and ends as usual.
func TestSessionOutlivesAgent(t *testing.T) {
	w := assuming(t, Assumptions{SessionOutlivesAgent: true})
	l := w.start("a1")
	polled := make(chan got, 1)
	go func() {
		g, _ := l.poll(w.ctx(), 0)
		polled <- g
	}()
	if _, err := w.WaitState(w.ctx(), func(s State) bool { return s.Pool("Default").Agent("a1").Session.Polling }); err != nil {
		t.Fatal(err)
	}
	w.want(204, w.call("DELETE", self(l)+v71, w.bearer(), nil))
	w.Advance(longPoll)
	if g := w.want(200, <-polled); g.raw != "" {
		t.Errorf("the poll of the removed agent answered %s", g.raw)
	}
	w.want(204, l.call("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil))
	w.want(404, l.tryOpen())
}

func TestUserCapabilitiesAssumption(t *testing.T) {
	w := assuming(t, Assumptions{SessionDropsUserCapabilities: true, NoUserCapabilities: true})
	l := w.start("a1")
	if a := w.State().Pool("Default").Agent("a1"); len(a.UserCapabilities) != 0 || len(a.SystemCapabilities) == 0 {
		t.Errorf("after its session was created the agent is %+v", a)
	}
	w.want(404, w.call("PUT", self(l)+"/usercapabilities"+vp, w.admin(), obj{"x": "y"}))
}

func TestOtherStatuses(t *testing.T) {
	w := assuming(t, Assumptions{MissingPoolForbidden: true, NameTakenBadRequest: true, JobRunningConflict: true, NamesLimited: true})
	w.wantError(403, "AccessDeniedException", "", w.call("GET", pools+"/77", w.admin(), nil))
	w.wantError(403, "AccessDeniedException", "", w.call("DELETE", pools+"/77/agents/1"+v71, w.admin(), nil))
	w.want(400, w.call("POST", agents+v71, w.admin(), agentBody(strings.Repeat("a", maxNameLength+1))))
	l := w.start("a1")
	w.wantError(400, "TaskAgentExistsException", "", w.call("POST", agents+v71, w.admin(), agentBody("a1")))
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	w.wantError(409, "TaskAgentJobStillRunningException", "", w.call("DELETE", self(l)+v71, w.admin(), nil))
}

func TestLongTimes(t *testing.T) {
	w := assuming(t, Assumptions{LongSessions: true, LongLocks: true})
	w.start("a1")
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	w.Advance(longLife - time.Second)
	if a, j := w.State().Pool("Default").Agent("a1"), w.State().Jobs[0]; a.Status != "online" || j.Result != "" {
		t.Errorf("early, the agent is %s and its job %q", a.Status, j.Result)
	}
	w.Advance(time.Second)
	if a, j := w.State().Pool("Default").Agent("a1"), w.State().Jobs[0]; a.Status != "offline" || j.Result != "abandoned" {
		t.Errorf("at last, the agent is %s and its job %q", a.Status, j.Result)
	}
}

func TestExpiredTokenIsShownTheSignIn(t *testing.T) {
	w := assuming(t, Assumptions{ExpiredTokenSignIn: true})
	old := w.bearer()
	w.Advance(msiTokenLife)
	if g := w.want(http.StatusFound, w.call("GET", pools, old, nil)); !strings.Contains(g.Header.Get("Location"), "_signin") {
		t.Errorf("it leads to %s", g.Header.Get("Location"))
	}
	w.want(200, w.call("GET", pools, w.bearer(), nil))
}

func TestUnlicensedSeesNothing(t *testing.T) {
	w := assuming(t, Assumptions{UnlicensedSeesNothing: true})
	for license, sees := range map[string]int{"": 0, "none": 0, "stakeholder": 1, "express": 1} {
		token := w.tokenFor(Identity{ObjectID: newGUID(), Member: true, License: license, Roles: Roles{AllPools: RoleAdministrator}})
		if g := w.want(200, w.call("GET", pools, token, nil)); g.num("count") != sees {
			t.Errorf("with the licence %q it sees %s", license, g.raw)
		}
	}
}
