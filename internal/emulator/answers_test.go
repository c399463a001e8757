package emulator

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// The answers of Microsoft's service to other clients: Terraform's provider, az devops, the .NET
// client.

func TestProjectWithCapabilities(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Projects = []string{"Web shop"} })
	listed := w.want(200, w.call("GET", "_apis/projects?api-version=7.1", w.admin(), nil))
	id := listed.text("value", 0, "id")
	if listed.text("value", 0, "lastUpdateTime") == "" || listed.at("value", 0, "defaultTeam") != nil {
		t.Errorf("the list is %s", listed.raw)
	}
	one := w.want(200, w.call("GET", "_apis/projects/"+id+"?includeCapabilities=true&api-version=7.1", w.admin(), nil))
	if one.text("capabilities", "processTemplate", "templateTypeId") != agileProcess || one.text("capabilities", "processTemplate", "templateName") != "Agile" ||
		one.text("capabilities", "versioncontrol", "sourceControlType") != "Git" || one.text("capabilities", "versioncontrol", "gitEnabled") != "True" {
		t.Errorf("its capabilities are %s", one.raw)
	}
	if team := one.text("defaultTeam", "id"); one.text("defaultTeam", "name") != "Web shop Team" || one.text("lastUpdateTime") == "" ||
		one.text("defaultTeam", "url") != one.text("url")+"/teams/"+team || one.text("_links", "web", "href") != w.url+"/emulated/Web%20shop" {
		t.Errorf("its team and its page are %s", one.raw)
	}
	again := w.want(200, w.call("GET", "_apis/projects/Web%20shop?api-version=7.1", w.admin(), nil))
	if again.at("capabilities") != nil || again.text("defaultTeam", "id") != one.text("defaultTeam", "id") {
		t.Errorf("by name, without capabilities: %s", again.raw)
	}
}

func TestProcesses(t *testing.T) {
	w := newWorld(t)
	listed := w.want(200, w.call("GET", "_apis/process/processes?api-version=7.1", w.admin(), nil))
	if listed.num("count") != 3 || listed.text("value", 2, "name") != "Scrum" || listed.at("value", 2, "isDefault") != false {
		t.Errorf("the list is %s", listed.raw)
	}
	one := w.want(200, w.call("GET", "_apis/process/processes/"+agileProcess+"?api-version=7.1", w.admin(), nil))
	if one.text("name") != "Agile" || one.text("type") != "system" || one.at("isDefault") != true || one.text("url") != w.url+"/emulated/_apis/process/processes/"+agileProcess {
		t.Errorf("the process is %s", one.raw)
	}
	w.want(404, w.call("GET", "_apis/process/processes/00000000-0000-0000-0000-000000000001?api-version=7.1", w.admin(), nil))
}

func TestJobsComeFromAProject(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Projects = []string{"Empty", "Shop"} })
	list := w.want(200, w.call("GET", "_apis/projects?api-version=7.1", w.admin(), nil))
	empty, shop := list.text("value", 0, "id"), list.text("value", 1, "id")
	queue := w.want(200, w.call("GET", empty+"/_apis/distributedtask/queues?api-version=7.1", w.admin(), nil)).num("value", 0, "id")
	w.want(204, w.call("DELETE", fmt.Sprint(empty, "/_apis/distributedtask/queues/", queue, "?api-version=7.1"), w.admin(), nil))
	l := w.start("a1")
	for range 2 {
		if _, err := w.QueueJob(JobSpec{}); err != nil {
			t.Fatal(err)
		}
		job := l.takeJob()
		m := job.message
		if m.text("plan", "scopeIdentifier") != shop || m.text("variables", "system.teamProjectId", "value") != shop ||
			m.text("variables", "system.teamProject", "value") != "Shop" || m.text("variables", "system.servertype", "value") != "Hosted" {
			t.Errorf("the job is of %v, %v", m.at("plan"), m.at("variables"))
		}
		request := w.want(200, w.call("GET", fmt.Sprint(pools, "/1/jobrequests/", job.request), w.admin(), nil))
		if request.text("scopeId") != shop {
			t.Errorf("the request is of %s, not of %s", request.text("scopeId"), shop)
		}
		w.want(204, job.complete("succeeded", false))
	}
}

func TestTimelineHasTheJobFirst(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	if _, err := w.QueueJob(JobSpec{Name: "build"}); err != nil {
		t.Fatal(err)
	}
	job := l.takeJob()
	read := func() got {
		return w.want(200, w.call("GET", job.base+"/timelines/"+job.timeline+vp+"&includeRecords=true", job.token, nil))
	}
	first := read()
	if first.text("records", 0, "id") != job.jobID || first.text("records", 0, "type") != "Job" || first.text("records", 0, "name") != "build" ||
		first.text("records", 0, "state") != "pending" || first.at("records", 0, "errorCount") != 0.0 || first.at("records", 1) != nil {
		t.Errorf("before the agent writes, the timeline is %s", first.raw)
	}
	crash := obj{"count": 1, "value": []obj{{"id": job.jobID, "errorCount": 1, "issues": []obj{{"type": "error", "message": "the worker crashed"}}}}}
	w.want(200, w.call("PATCH", job.base+"/timelines/"+job.timeline+"/records"+vp, job.token, crash))
	if after := read(); after.at("records", 0, "errorCount") != 1.0 || after.text("records", 0, "name") != "build" || after.at("records", 1) != nil {
		t.Errorf("after the crash: %s", after.raw)
	}
}

func TestProgressOfAnUpdate(t *testing.T) {
	w := newWorld(t)
	l, other := w.start("a1"), w.start("a2")
	report := func(state, token string) got {
		return w.call("PUT", fmt.Sprint(agents, "/", l.id, "/updates", vp, "&currentState=", state), token, nil)
	}
	if g := w.want(200, report("Early", l.bearer)); g.at("pendingUpdate") != nil {
		t.Errorf("without an update: %s", g.raw)
	}
	w.want(200, w.call("POST", pools+"/1/messages"+vp, w.admin(), nil))
	if g := w.want(200, report("Downloading%20agent", l.bearer)); g.text("pendingUpdate", "currentState") != "Downloading agent" || g.num("id") != l.id {
		t.Errorf("the answer is %s", g.raw)
	}
	seen := w.want(200, w.call("GET", fmt.Sprint(agents, "/", l.id, v71), w.admin(), nil))
	if seen.text("pendingUpdate", "currentState") != "Downloading agent" {
		t.Errorf("others see %s", seen.raw)
	}
	w.want(400, report("", l.bearer))
	w.want(403, report("Lie", other.bearer))
}

func TestPoolsNameTheirCreator(t *testing.T) {
	w := newWorld(t)
	me := func(token string) string {
		return w.want(200, w.call("GET", "_apis/connectionData"+vp, token, nil)).text("authenticatedUser", "id")
	}
	seeded := w.want(200, w.call("GET", pools+"/1"+v71, w.admin(), nil))
	made := w.want(200, w.call("POST", pools+v71, w.bearer(), obj{"name": "made"}))
	for _, c := range []struct {
		name, id string
		pool     got
	}{{"an administrator", me(w.admin()), seeded}, {"the managed identity", me(w.bearer()), made}} {
		for _, who := range []string{"createdBy", "owner"} {
			if c.pool.text(who, "id") != c.id || c.pool.text(who, "url") != w.url+"/vssps/emulated/_apis/Identities/"+c.id || c.id == w.instanceID {
				t.Errorf("%s: %s has the id %s, not %s", c.name, who, c.pool.text(who, "id"), c.id)
			}
		}
	}
	if got := made.text("createdBy", "uniqueName"); got != w.defaultOID {
		t.Errorf("an identity's unique name is %q", got)
	}
}

func TestIdentitiesByOtherFilters(t *testing.T) {
	w := newWorld(t)
	person := Identity{ObjectID: newGUID(), Name: "jane@example.com", Kind: KindUser, Member: true}
	if err := w.PutIdentity(person); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"DirectoryAlias&filterValue=JANE":               person.Name,
		"directoryAlias&filterValue=" + w.defaultOID:    "emulated-agents",
		"DirectoryAlias&filterValue=nobody":             "",
		"MailAddress&filterValue=jane@example.com":      person.Name,
		"MailAddress&filterValue=emulated-agents":       "",
		"AccountName&filterValue=" + w.defaultOID:       "emulated-agents",
		"DisplayName&filterValue=emulated-agents":       "emulated-agents",
		"General&filterValue=jane":                      person.Name,
		"LocalGroupName&filterValue=%5BProject%5D%5CBu": "",
	} {
		g := w.want(200, w.call("GET", "!/vssps/emulated/_apis/identities?api-version=7.1&searchFilter="+query, w.admin(), nil))
		if g.text("value", 0, "providerDisplayName") != want || g.at("value") == nil || g.at("value", 1) != nil {
			t.Errorf("%s finds %s", query, g.raw)
		}
	}
	w.want(400, w.call("GET", "!/vssps/emulated/_apis/identities?api-version=7.1&searchFilter=Shoe&filterValue=x", w.admin(), nil))
}

func TestDescriptorOfAProject(t *testing.T) {
	w := newWorld(t)
	id := w.want(200, w.call("GET", "_apis/projects?api-version=7.1", w.admin(), nil)).text("value", 0, "id")
	ask := func() string {
		return w.want(200, w.call("GET", graph+"descriptors/"+id+preview, w.admin(), nil)).text("value")
	}
	descriptor := ask()
	encoded, isScope := strings.CutPrefix(descriptor, "scp.")
	scope, err := base64.RawURLEncoding.DecodeString(encoded)
	if !isScope || err != nil || len(scope) != 36 || string(scope) == id || ask() != descriptor {
		t.Errorf("the descriptor is %q of %q, %v", descriptor, scope, err)
	}
}
