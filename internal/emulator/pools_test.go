package emulator

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func threePools(o *Options) { o.Pools = []string{"Default", "linux pool", "Secret"} }

func TestPoolList(t *testing.T) {
	w := newWorld(t, threePools)
	reader := w.tokenFor(Identity{ObjectID: newGUID(), Name: "reader", Member: true, Roles: Roles{"default": RoleReader, "linux pool": RoleAdministrator}})
	nobody := w.tokenFor(Identity{ObjectID: newGUID(), Member: true})
	for _, c := range []struct{ query, auth, want string }{
		{"", w.admin(), "Default,linux pool,Secret"},
		{"", reader, "Default,linux pool"},
		{"", nobody, ""},
		{"?poolName=LINUX+pool", reader, "linux pool"},
		{"?poolName=linux", reader, ""},
		{"?poolName=Secret", reader, ""},
		{"?poolname=linux%20pool&poolType=Automation", reader, "linux pool"},
		{"?poolType=deployment", reader, ""},
		{"?actionFilter=manage", reader, "linux pool"},
		{"?actionFilter=2", reader, "linux pool"},
		{"?actionFilter=16", reader, "linux pool"},
		{"?poolIds=1,3", w.admin(), "Default,Secret"},
		{"?poolID=3", w.admin(), "Default,linux pool,Secret"}, // with this parameter, KEDA's check of a pool id has no effect
	} {
		g := w.want(200, w.call("GET", pools+c.query, c.auth, nil))
		var names []string
		for i := range g.num("count") {
			names = append(names, g.text("value", i, "name"))
		}
		if got := strings.Join(names, ","); got != c.want {
			t.Errorf("%s: got %q, want %q", c.query, got, c.want)
		}
	}
	if g := w.call("GET", pools, nobody, nil); g.raw != `{"count":0,"value":[]}` {
		t.Errorf("an empty list is %s", g.raw)
	}
	w.want(200, w.call("GET", pools+"/1", reader, nil))
	w.wantError(404, "TaskAgentPoolNotFoundException", "No agent pool found with identifier 3.", w.call("GET", pools+"/3", reader, nil))
	w.wantError(404, "TaskAgentPoolNotFoundException", "No agent pool found with identifier 99.", w.call("GET", pools+"/99", w.admin(), nil))
	for bits, want := range map[string]string{"1": "true", "2": "false", "3": "false"} {
		if g := w.want(200, w.call("GET", pools+"/1/permissions/"+bits, reader, nil)); g.raw != want {
			t.Errorf("permissions %s are %s", bits, g.raw)
		}
	}
}

func TestPoolChanges(t *testing.T) {
	w := newWorld(t)
	g := w.want(200, w.call("POST", pools+v71, w.admin(), obj{"name": "new", "autoUpdate": false}))
	if g.num("id") != 2 || g.at("autoUpdate") != true {
		t.Errorf("created %s", g.raw)
	}
	w.wantError(409, "TaskAgentPoolExistsException", "Agent pool NEW already exists.", w.call("POST", pools+v71, w.admin(), obj{"name": "NEW"}))
	if g = w.want(200, w.call("PATCH", pools+"/2"+v71, w.admin(), obj{"autoUpdate": false})); g.at("autoUpdate") != false {
		t.Errorf("updated %s", g.raw)
	}
	one := w.tokenFor(Identity{ObjectID: newGUID(), Name: "one", Member: true, Roles: Roles{"new": RoleAdministrator, "Default": RoleServiceAccount}})
	w.wantError(403, "AccessDeniedException", "Access denied. one needs Manage permissions to perform the action. For more information, contact the Azure DevOps Server administrator.",
		w.call("POST", pools+v71, one, obj{"name": "x"}))
	w.wantError(403, "AccessDeniedException", "Access denied. one needs Manage permissions for pool Default to perform the action. For more information, contact the Azure DevOps Server administrator.",
		w.call("DELETE", pools+"/1"+v71, one, nil))
	w.want(204, w.call("DELETE", pools+"/2"+v71, one, nil))
	w.want(404, w.call("GET", pools+"/2", w.admin(), nil))
	l := w.start("a1")
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	w.wantError(400, "TaskAgentJobStillRunningException", "", w.call("DELETE", pools+"/1"+v71, w.admin(), nil))
	w.want(204, l.takeJob().complete("failed", true))
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	w.want(204, w.call("DELETE", pools+"/1"+v71, w.admin(), nil))
	if j, _ := w.Job(2); j.Result != "canceled" {
		t.Errorf("a waiting job of a deleted pool is %+v", j)
	}
}

func TestAgentErrors(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	l := w.register("Agent-1")
	self := fmt.Sprint(agents, "/", l.id)
	reader := w.tokenFor(Identity{ObjectID: newGUID(), Name: "reader", Member: true, Roles: Roles{AllPools: RoleReader}})
	service := w.tokenFor(Identity{ObjectID: newGUID(), Name: "svc", Member: true, Roles: Roles{AllPools: RoleServiceAccount}})
	blind := w.tokenFor(Identity{ObjectID: newGUID(), Name: "blind", Member: true})
	l.signIn()
	denied := func(name string) string {
		return "Access denied. " + name + " needs Manage permissions for pool Default to perform the action. For more information, contact the Azure DevOps Server administrator."
	}
	short := agentBody("short")
	short["authorization"] = obj{"publicKey": obj{"exponent": "AQAB", "modulus": "AQAB"}}
	noVersion := agentBody("noversion")
	noVersion["version"] = "5.282"
	for _, c := range []struct {
		name, method, path, auth string
		body                     any
		status                   int
		typeKey, message         string
	}{
		{"name taken", "POST", agents + v71, admin, agentBody("AGENT-1"), 409, "TaskAgentExistsException", "Pool 1 already contains an agent with name AGENT-1."},
		{"create as reader", "POST", agents + v71, reader, agentBody("x"), 403, "AccessDeniedException", denied("reader")},
		{"create as service account", "POST", agents + v71, service, agentBody("x"), 403, "AccessDeniedException", denied("svc")},
		{"create blind", "POST", agents + v71, blind, agentBody("x"), 404, "TaskAgentPoolNotFoundException", "No agent pool found with identifier 1."},
		{"replace as reader", "PUT", self + v71, reader, agentBody("x"), 403, "AccessDeniedException", denied("reader")},
		{"patch as reader", "PATCH", self + v71, reader, obj{"id": l.id}, 403, "AccessDeniedException", denied("reader")},
		{"delete as reader", "DELETE", self + v71, reader, nil, 403, "AccessDeniedException", denied("reader")},
		{"delete as itself", "DELETE", self + v71, l.bearer, nil, 403, "AccessDeniedException", denied("Agent-1")},
		{"get blind", "GET", self, blind, nil, 404, "TaskAgentNotFoundException", "No agent found for pool 1 with identifier 1."},
		{"get missing", "GET", agents + "/2884", admin, nil, 404, "TaskAgentNotFoundException", "No agent found for pool 1 with identifier 2884."},
		{"delete missing", "DELETE", agents + "/2884" + v71, admin, nil, 404, "TaskAgentNotFoundException", "No agent found for pool 1 with identifier 2884."},
		{"list of no pool", "GET", pools + "/9/agents", admin, nil, 404, "TaskAgentPoolNotFoundException", "No agent pool found with identifier 9."},
		{"patch without id", "PATCH", self + v71, admin, obj{"enabled": false}, 400, "VssPropertyValidationException", ""},
		{"patch with other id", "PATCH", self + v71, admin, obj{"id": 7, "enabled": false}, 400, "VssPropertyValidationException", ""},
		{"small key", "POST", agents + v71, admin, short, 400, "VssPropertyValidationException", ""},
		{"odd version", "POST", agents + v71, admin, noVersion, 400, "VssPropertyValidationException", ""},
		{"no body", "POST", agents + v71, admin, nil, 400, "VssPropertyValidationException", ""},
		{"no json", "POST", agents + v71, admin, "{", 400, "VssPropertyValidationException", ""},
		{"no name", "POST", agents + v71, admin, agentBody(" "), 400, "VssPropertyValidationException", ""},
		{"no version asked", "PATCH", self, admin, obj{"id": l.id}, 400, "VssVersionNotSpecifiedException", ""},
		{"preview only", "PUT", self + "/usercapabilities" + v71, admin, obj{}, 400, "VssInvalidPreviewVersionException",
			`The requested version "7.1" of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: "7.1-preview"`},
		{"too new", "GET", self + "?api-version=9.0", admin, nil, 400, "VssVersionOutOfRangeException", ""},
		{"no such method", "PUT", pools + v71, admin, obj{}, 405, "VssServiceException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.wantError(c.status, c.typeKey, c.message, w.call(c.method, c.path, c.auth, c.body))
		})
	}
}

func TestAgentLife(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	l := w.register("Agent-1")
	self := fmt.Sprint("!/EMULATED/_APIs/DistributedTask/Pools/1/AGENTS/", l.id) // paths are case-insensitive
	created := w.want(200, w.call("GET", self, admin, nil))
	for _, absent := range []string{"authorization", "systemCapabilities", "userCapabilities", "assignedRequest", "lastCompletedRequest", "properties"} {
		if created.at(absent) != nil {
			t.Errorf("GET shows %s although nobody asked", absent)
		}
	}
	if created.text("status") != "offline" || created.text("createdOn") != "2026-11-22T20:00:00.1234567Z" || created.at("enabled") != true ||
		created.text("_links", "self", "href") != fmt.Sprintf("%s/emulated/_apis/distributedtask/pools/1/agents/%d", w.url, l.id) {
		t.Errorf("GET shows %s", created.raw)
	}
	g := w.want(200, w.call("GET", agents+"?agentName=agent-1&includeCapabilities=True", admin, nil))
	if g.num("count") != 1 || g.text("value", 0, "systemCapabilities", "Agent.OS") != "Linux" || g.text("value", 0, "userCapabilities", "azptend.instance") != "i-1" {
		t.Errorf("by name: %s", g.raw)
	}
	for q, n := range map[string]int{"?agentName=agent": 0, "?demands=Agent.OS+-equals+linux": 1, "?demands=Agent.OS%20-equals%20Linux,docker": 0} {
		if g := w.want(200, w.call("GET", agents+q, admin, nil)); g.num("count") != n {
			t.Errorf("%s: %s", q, g.raw)
		}
	}
	if g = w.want(200, w.call("PATCH", self+v71, admin, obj{"id": l.id, "enabled": false})); g.at("enabled") != false {
		t.Errorf("PATCH answered %s", g.raw)
	}
	w.waitFor(EventAgentDisabled)
	w.want(200, w.call("PUT", self+"/usercapabilities"+vp, admin, obj{"a": "b"}))

	body := agentBody("Agent-1") // PUT: id and client stay, enabled stays false, user capabilities are removed
	delete(body, "userCapabilities")
	g = w.want(200, w.call("PUT", self+v71, admin, body))
	if g.num("id") != l.id || g.text("authorization", "clientId") != l.client || g.at("enabled") != false || g.text("properties", "ServerUrl", "$value") != w.url+"/emulated/" {
		t.Errorf("PUT answered %s", g.raw)
	}
	if a := w.State().Pool("Default").Agent("Agent-1"); len(a.UserCapabilities) != 0 {
		t.Errorf("after PUT the user capabilities are %v", a.UserCapabilities)
	}
	w.want(204, w.call("DELETE", self+v71, admin, nil))
	w.want(404, w.call("DELETE", self+v71, admin, nil))
}

// TestReplaceRotatesKey: after a PUT with another key, the old listener cannot sign in again.
func TestReplaceRotatesKey(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	body := agentBody("a1")
	body["authorization"] = obj{"publicKey": publicKeyOf(keyHolder().key)}
	w.want(200, w.call("PUT", fmt.Sprint(agents, "/", l.id, v71), w.admin(), body))
	w.want(400, l.exchange(l.assertion(nil)))
	successor := *l
	successor.key = keyHolder().key
	successor.signIn()
	w.want(409, successor.tryOpen()) // the old session still exists
	w.Advance(sessionLife)
	successor.signIn()
	successor.open()
}

// TestAssumptions reverses the assumptions about an agent's lifetime.
func TestAssumptions(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Assumptions = Assumptions{ReplaceKeepsUserCapabilities: true, ReplaceEnables: true, ReplaceEndsSession: true, GetShowsAuthorization: true,
			CreateIgnoresEnabled: true, DeleteMissingSucceeds: true, DeleteAnswers200: true, DeleteRunningSucceeds: true,
			PlainVersionOnPreview: true, ShuttingDownIgnored: true}
	})
	admin := w.admin()
	b := agentBody("pre-disabled")
	b["enabled"] = false
	if g := w.want(200, w.call("POST", agents+v71, admin, b)); g.at("enabled") != true {
		t.Errorf("created %s", g.raw)
	}
	l := w.start("a1")
	self := fmt.Sprint(agents, "/", l.id)
	w.want(200, w.call("PATCH", self+v71, admin, obj{"id": l.id, "enabled": false}))
	b = agentBody("a1")
	delete(b, "userCapabilities")
	if g := w.want(200, w.call("PUT", self+v71, admin, b)); g.at("enabled") != true {
		t.Errorf("replaced %s", g.raw)
	}
	a := w.State().Pool("Default").Agent("a1")
	if a.UserCapabilities["azptend.instance"] != "i-1" || a.Session != nil {
		t.Errorf("after PUT the agent is %+v", a)
	}
	if g := w.call("GET", self, admin, nil); g.text("authorization", "clientId") != l.client {
		t.Errorf("GET shows %s", g.raw)
	}
	w.want(200, w.call("PUT", self+"/usercapabilities"+v71, admin, obj{"x": "y"}))
	l.open()
	if _, err := w.QueueJob(JobSpec{}); err != nil {
		t.Fatal(err)
	}
	w.want(204, l.takeJob().complete("succeeded", true))
	if j, _ := w.QueueJob(JobSpec{}); j.State != JobAssigned {
		t.Errorf("the second job is %+v", j)
	}
	w.want(200, w.call("DELETE", self+v71, admin, nil))
	w.want(200, w.call("DELETE", self+v71, admin, nil))
	if j, _ := w.Job(2); j.Result != "abandoned" {
		t.Errorf("the job of the removed agent is %+v", j)
	}
}

func TestDisabledAgentGetsNoJob(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	patch := func(on bool) {
		w.want(200, w.call("PATCH", fmt.Sprint(agents, "/", l.id, v71), w.admin(), obj{"id": l.id, "enabled": on}))
	}
	patch(false)
	j, err := w.QueueJob(JobSpec{})
	if err != nil || j.State != JobQueued {
		t.Fatalf("with a disabled agent the job is %+v, %v", j, err)
	}
	patch(true)
	if j, _ = w.Job(1); j.State != JobAssigned {
		t.Errorf("with an enabled agent the job is %+v", j)
	}
	patch(false) // too late: an assigned job is delivered
	g := w.want(200, w.call("GET", fmt.Sprint(agents, "/", l.id, "?includeAssignedRequest=true"), w.admin(), nil))
	if g.num("assignedRequest", "requestId") != 1 || g.text("assignedRequest", "receiveTime") != "" {
		t.Errorf("the agent is %s", g.raw)
	}
	w.SetAssumptions(Assumptions{DisabledHidesAssigned: true})
	s := w.sessions[l.session]
	if w.nextMessage(s, 0) != nil {
		t.Error("the message is not hidden")
	}
	w.SetAssumptions(Assumptions{})
	w.want(204, l.takeJob().complete("succeeded", false))
	g = w.want(200, w.call("GET", fmt.Sprint(agents, "/", l.id, "?includeAssignedRequest=true&includeLastCompletedRequest=true"), w.admin(), nil))
	if g.at("assignedRequest") != nil || g.text("lastCompletedRequest", "result") != "succeeded" {
		t.Errorf("after the job the agent is %s", g.raw)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	w.want(200, w.call("POST", pools+"/1/messages?agentId=1&api-version=7.1-preview.1", w.admin(), "null"))
	w.wantError(409, "TaskAgentPendingUpdateExistsException", "", w.call("POST", pools+"/1/messages?agentId=1&api-version=7.1-preview.1", w.admin(), "null"))
	w.want(404, w.call("POST", pools+"/1/messages?agentId=7&api-version=7.1-preview.1", w.admin(), "null"))
	w.want(200, w.call("POST", pools+"/1/messages"+vp, w.admin(), "null"))
	if _, b := l.next(msgRefresh); b.num("agentId") != l.id || b.text("targetVersion") != packageVersion {
		t.Errorf("the message is %s", b.raw)
	}
	g := w.want(200, w.call("GET", agents+"/1", w.admin(), nil))
	if g.num("pendingUpdate", "targetVersion", "minor") != 282 {
		t.Errorf("the agent is %s", g.raw)
	}
	w.Advance(sessionLife)
	l.open()
	if a := w.State().Pool("Default").Agent("a1"); a.PendingUpdate != "" {
		t.Errorf("still to update to %s", a.PendingUpdate)
	}
	w.Advance(time.Nanosecond)
}
