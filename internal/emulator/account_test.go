package emulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	entitlements = "!/vsaex/emulated/_apis/serviceprincipalentitlements"
	graph        = "!/vssps/emulated/_apis/graph/"
	preview      = "?api-version=7.1-preview.1"
)

func entitlementOf(oid, license string) obj {
	return obj{"accessLevel": obj{"accountLicenseType": license, "licensingSource": "account"},
		"servicePrincipal": obj{"origin": "aad", "originId": oid, "subjectKind": "servicePrincipal"}}
}

// stranger is an identity that is in the directory, but not in the organisation.
func (w *world) stranger(change func(*Identity)) Identity {
	id := Identity{ObjectID: newGUID(), Name: "stranger", ClientID: newGUID()}
	if change != nil {
		change(&id)
	}
	if err := w.PutIdentity(id); err != nil {
		w.Fatal(err)
	}
	return id
}

func TestEntitlement(t *testing.T) {
	w := newWorld(t)
	id := w.stranger(nil)
	token, err := w.IssueToken(id.ObjectID, "")
	if err != nil {
		t.Fatal(err)
	}
	w.want(401, w.call("GET", pools, "Bearer "+token, nil))
	g := w.want(200, w.call("POST", entitlements+preview, w.admin(), entitlementOf(strings.ToUpper(id.ObjectID), "express")))
	key := g.text("servicePrincipalEntitlement", "id")
	if g.at("isSuccess") != true || g.at("operationResult", "isSuccess") != true || g.text("operationResult", "servicePrincipalId") != key ||
		g.text("servicePrincipalEntitlement", "accessLevel", "status") != "pending" || g.text("servicePrincipalEntitlement", "accessLevel", "licenseDisplayName") != "Basic" ||
		g.text("servicePrincipalEntitlement", "servicePrincipal", "originId") != id.ObjectID || key[14] != '6' ||
		g.text("servicePrincipalEntitlement", "lastAccessedDate") != "0001-01-01T00:00:00Z" || g.text("operationResult", "result", "servicePrincipal", "metaType") != "managedIdentity" {
		t.Errorf("added %s", g.raw)
	}
	w.want(200, w.call("GET", pools, "Bearer "+token, nil))
	one := entitlements + "/" + key + preview
	if g := w.want(200, w.call("GET", one, w.admin(), nil)); g.text("accessLevel", "status") != "active" {
		t.Errorf("after its first call: %s", g.raw)
	}
	patch := []obj{{"from": "", "op": "replace", "path": "/accessLevel", "value": obj{"accountLicenseType": "stakeholder", "licensingSource": "account"}}}
	if g := w.want(200, w.call("PATCH", one, w.admin(), patch)); g.at("isSuccess") != true || g.text("operationResults", 0, "result", "accessLevel", "accountLicenseType") != "stakeholder" {
		t.Errorf("patched %s", g.raw)
	}
	if g := w.want(200, w.call("PATCH", one, w.admin(), []obj{{"op": "remove", "path": "/accessLevel"}})); g.at("isSuccess") != false {
		t.Errorf("an odd patch: %s", g.raw)
	}
	if g := w.want(200, w.call("POST", entitlements+preview, w.admin(), entitlementOf(id.ObjectID, "express"))); g.text("servicePrincipalEntitlement", "accessLevel", "accountLicenseType") != "express" {
		t.Errorf("posted again %s", g.raw)
	}
	bulk := []obj{{"op": "replace", "path": "/" + key + "/accessLevel", "value": obj{"accountLicenseType": "advanced"}}, {"op": "add", "path": "", "value": entitlementOf(newGUID(), "express")}}
	if g := w.want(200, w.call("PATCH", entitlements+preview, w.admin(), bulk)); g.at("haveResultsSucceeded") != false || g.at("results", 0, "isSuccess") != true || g.at("results", 1, "isSuccess") != false {
		t.Errorf("bulk %s", g.raw)
	}
	w.want(204, w.call("DELETE", one, w.admin(), nil))
	if g := w.want(200, w.call("GET", one, w.admin(), nil)); g.text("accessLevel", "status") != "deleted" || g.text("accessLevel", "accountLicenseType") != "none" {
		t.Errorf("after its removal: %s", g.raw)
	}
	w.want(401, w.call("GET", pools, "Bearer "+token, nil))
	w.want(405, w.call("GET", entitlements+preview, w.admin(), nil))
	w.want(404, w.call("GET", entitlements+"/"+newGUID()+preview, w.admin(), nil))
	w.want(404, w.call("POST", "_apis/serviceprincipalentitlements"+preview, w.admin(), nil)) // another host
	var told []string
	for _, ev := range w.events {
		if ev.Identity == id.ObjectID && strings.HasPrefix(ev.Type, "member.") {
			told = append(told, ev.Type+" "+ev.Detail)
		}
	}
	want := []string{"member.added express", "member.licensed stakeholder", "member.licensed express", "member.licensed advanced", "member.removed "}
	if !slices.Equal(told, want) {
		t.Errorf("the journal tells %q", told)
	}
}

// A failure to add has status 200, except for callers without permission.
func TestEntitlementRefused(t *testing.T) {
	w := newWorld(t)
	fresh := w.stranger(func(i *Identity) { i.Fresh = 2 })
	app := w.stranger(func(i *Identity) { i.Kind, i.ApplicationObjectID = KindServicePrincipal, newGUID() })
	person := w.stranger(func(i *Identity) { i.Kind = KindUser })
	foreign := w.stranger(func(i *Identity) { i.Tenant = newGUID() })
	for _, c := range []struct{ name, oid, license, text string }{
		{"unknown", "33333333-3333-3333-3333-333333333333", "express", "VS403283: Could not add user '33333333-3333-3333-3333-333333333333' at this time."},
		{"an application id", app.ClientID, "express", "VS403283: "},
		{"an app registration", app.ApplicationObjectID, "express", "Failed to create service principal with object ID '" + app.ApplicationObjectID + "'"},
		{"a person", person.ObjectID, "express", "VS403283: "},
		{"of another tenant", foreign.ObjectID, "express", "VS403283: "},
		{"no id", "", "express", "The Id, OriginId, or User.PrincipalName must be set"},
		{"no licence", app.ObjectID, "free", "The license type 'free' is not valid."},
		{"fresh", fresh.ObjectID, "express", "VS403283: "},
		{"still fresh", fresh.ObjectID, "express", "VS403283: "},
	} {
		g := w.want(200, w.call("POST", entitlements+preview, w.admin(), entitlementOf(c.oid, c.license)))
		if g.at("isSuccess") != false || g.num("operationResult", "errors", 0, "key") != 5000 || g.at("servicePrincipalEntitlement") != nil ||
			!strings.HasPrefix(g.text("operationResult", "errors", 0, "value"), c.text) {
			t.Errorf("%s: %s", c.name, g.raw)
		}
	}
	if g := w.call("POST", graph+"subjectquery"+preview, w.admin(), obj{"query": fresh.ObjectID, "subjectKind": []string{"User"}}); g.num("count") != 1 {
		t.Errorf("no longer fresh, and not to be found: %s", g.raw)
	}
	if g := w.call("POST", entitlements+preview, w.admin(), entitlementOf(fresh.ObjectID, "express")); g.at("isSuccess") != true {
		t.Errorf("no longer fresh: %s", g.raw)
	}
	poolAdmin := w.tokenFor(Identity{ObjectID: newGUID(), Member: true, Roles: Roles{AllPools: RoleAdministrator}})
	g := w.call("POST", entitlements+preview, poolAdmin, entitlementOf(app.ObjectID, "express"))
	w.wantError(403, "AccessCheckException", "", g)
	if !strings.HasSuffix(g.text("message"), "needs the following permission(s) on the resource Users to perform this action: Add Users") {
		t.Errorf("the refusal is %s", g.raw)
	}
	narrow, err := w.PutPAT(PAT{Scopes: []string{"vso.agentpools_manage"}})
	if err != nil {
		t.Fatal(err)
	}
	w.want(401, w.call("POST", entitlements+preview, basic(narrow.Token), entitlementOf(app.ObjectID, "express")))
}

func TestGraph(t *testing.T) {
	w := newWorld(t)
	for i := range 7 { // users before and between them, so that a page can be without a service principal
		kind := KindUser
		if i == 6 {
			kind = KindServicePrincipal
		}
		if err := w.PutIdentity(Identity{ObjectID: fmt.Sprintf("0000000%d-0000-4000-8000-000000000000", i), Kind: kind, Member: true}); err != nil {
			t.Fatal(err)
		}
	}
	var pages, found []string
	for token, more := "", true; more; {
		g := w.want(200, w.call("GET", graph+"serviceprincipals"+preview+"&continuationToken="+token, w.admin(), nil))
		pages = append(pages, fmt.Sprint(g.num("count")))
		for i := range g.num("count") {
			found = append(found, g.text("value", i, "originId"))
		}
		token = g.Header.Get("X-MS-ContinuationToken")
		more = token != ""
	}
	if pages[0] != "0" || pages[1] != "0" || len(found) != 2 || !slices.Contains(found, w.defaultOID) {
		t.Errorf("pages of %v hold %v", pages, found)
	}
	id := w.stranger(nil)
	g := w.want(201, w.call("POST", graph+"serviceprincipals"+preview, w.admin(), obj{"originId": id.ObjectID}))
	descriptor := g.text("descriptor")
	key := w.want(200, w.call("GET", graph+"storagekeys/"+descriptor+preview, w.admin(), nil)).text("value")
	if back := w.want(200, w.call("GET", graph+"descriptors/"+key+preview, w.admin(), nil)).text("value"); back != descriptor || !strings.HasPrefix(descriptor, "aadsp.") {
		t.Errorf("%s, %s, %s", descriptor, key, back)
	}
	if g := w.want(200, w.call("GET", entitlements+"/"+key+preview, w.admin(), nil)); g.text("accessLevel", "accountLicenseType") != "none" {
		t.Errorf("added by the graph it has a licence: %s", g.raw)
	}
	w.want(200, w.call("GET", graph+"serviceprincipals/"+descriptor+preview, w.admin(), nil))
	if g := w.want(200, w.call("GET", "!/vssps/emulated/_apis/identities?searchFilter=General&queryMembership=None&filterValue="+id.ObjectID, w.admin(), nil)); g.num("count") != 1 ||
		g.text("value", 0, "subjectDescriptor") != descriptor || g.text("value", 0, "id") != key {
		t.Errorf("the identity is %s", g.raw)
	}
	w.want(204, w.call("DELETE", graph+"serviceprincipals/"+descriptor+preview, w.admin(), nil))
	for _, path := range []string{"storagekeys/aadsp.bm9uZQ", "descriptors/" + newGUID(), "serviceprincipals/aadsp.bm9uZQ"} {
		w.want(404, w.call("GET", graph+path+preview, w.admin(), nil))
	}
	w.wantError(400, "GraphBadRequestException", "", w.call("POST", graph+"serviceprincipals"+preview, w.admin(), obj{"originId": newGUID()}))
	w.want(403, w.call("POST", graph+"serviceprincipals"+preview, w.tokenFor(Identity{ObjectID: newGUID(), Member: true}), obj{"originId": id.ObjectID}))
}

func assignments(scope, resource string) string {
	return "_apis/securityroles/scopes/" + scope + "/roleassignments/resources/" + resource
}

func TestRoleAssignments(t *testing.T) {
	w := newWorld(t)
	id := Identity{ObjectID: newGUID(), Name: "robot", Member: true, License: "express"}
	token := w.tokenFor(id)
	key := w.identities[id.ObjectID].storageKey
	path := assignments("distributedtask.agentpoolrole", "1") + preview
	give := func(who, role string) []obj { return []obj{{"roleName": role, "userId": who}} }

	if g := w.want(200, w.call("PUT", path, w.admin(), give(id.ObjectID, "Administrator"))); g.raw != `{"count":0,"value":[]}` {
		t.Errorf("by its object id: %s", g.raw)
	}
	if g := w.want(200, w.call("GET", pools, token, nil)); g.num("count") != 0 {
		t.Errorf("without a role it sees %s", g.raw)
	}
	g := w.want(200, w.call("PUT", path, w.admin(), give(strings.ToUpper(key), "Administrator"), "Accept: ;api-version=7.1-preview.1"))
	if g.num("count") != 1 || g.text("value", 0, "identity", "id") != key || g.num("value", 0, "role", "allowPermissions") != 27 ||
		g.text("value", 0, "access") != "assigned" || g.text("value", 0, "role", "identifier") != "distributedtask.agentpoolrole.Administrator" {
		t.Errorf("assigned %s", g.raw)
	}
	w.want(200, w.call("GET", pools+"/1/permissions/2", token, nil))
	access := map[string]string{}
	for i, list := 0, w.want(200, w.call("GET", path, token, nil)); i < list.num("count"); i++ {
		access[list.text("value", i, "identity", "displayName")] = list.text("value", i, "access")
	}
	if access["robot"] != "assigned" || access["emulated-agents"] != "inherited" {
		t.Errorf("the list says %v", access)
	}
	w.wantError(400, "VssServiceException", "Cannot modify the role for self identity. Please try with a different identity.", w.call("PUT", path, token, give(key, "Reader")))
	w.SetAssumptions(Assumptions{OwnRoleForbidden: true})
	w.want(403, w.call("PUT", path, token, give(key, "Reader")))
	w.want(400, w.call("PUT", path, w.admin(), give(key, "King")))
	w.want(404, w.call("PUT", assignments("distributedtask.agentpoolrole", "99")+preview, w.admin(), give(key, "Reader")))
	w.want(404, w.call("GET", assignments("nothing", "1")+preview, w.admin(), nil))
	if g := w.want(200, w.call("PUT", strings.Replace(path, "?", "/"+key+"?", 1), w.admin(), obj{"roleName": "ServiceAccount"})); g.num("role", "allowPermissions") != 21 {
		t.Errorf("one assignment: %s", g.raw)
	}
	w.wantError(403, "AccessDeniedException", "", w.call("PATCH", path, token, []string{key}))
	w.want(204, w.call("PATCH", path, w.admin(), []string{key, newGUID()}))
	if id := w.identities[id.ObjectID]; len(id.Roles) != 0 {
		t.Errorf("taken, and it has %v", id.Roles)
	}
	g = w.want(200, w.call("GET", "_apis/securityroles/scopes/distributedtask.agentpoolrole/roledefinitions"+preview, token, nil))
	if g.num("count") != 3 || g.text("value", 1, "displayName") != "Service Account" {
		t.Errorf("the roles are %s", g.raw)
	}
}

func TestRolesElsewhere(t *testing.T) {
	w := newWorld(t)
	id := Identity{ObjectID: newGUID(), Name: "robot", Member: true}
	token := w.tokenFor(id)
	robot := w.identities[id.ObjectID]
	give := []obj{{"roleName": "Administrator", "userId": robot.storageKey}}
	w.want(200, w.call("PUT", assignments("distributedtask.agentpoolrole", "0")+preview, w.admin(), give))
	if robot.Roles[AllPools] != RoleReader {
		t.Errorf("agentpoolrole 0 made %v", robot.Roles)
	}
	w.want(403, w.call("POST", pools+v71, token, obj{"name": "mine"}))
	w.want(200, w.call("PUT", assignments("distributedtask.globalagentpoolrole", "0")+preview, w.admin(), give))
	w.want(200, w.call("POST", pools+v71, token, obj{"name": "mine"}))
	if robot.Roles["mine"] != RoleAdministrator {
		t.Errorf("who made a pool has %v", robot.Roles)
	}
	w.want(204, w.call("DELETE", strings.Replace(assignments("distributedtask.globalagentpoolrole", "0"), "?", "", 1)+"/"+robot.storageKey+preview, w.admin(), nil))
	q := w.projects[0].queues[0]
	resource := fmt.Sprintf("%s_%d", w.projects[0].id, q.id)
	w.want(200, w.call("PUT", assignments("distributedtask.agentqueuerole", resource)+preview, w.admin(), []obj{{"roleName": "User", "userId": robot.storageKey}}))
	if q.roles[robot.ObjectID] != RoleUser {
		t.Errorf("the queue's roles are %v", q.roles)
	}
	if g := w.want(200, w.call("GET", "Project/_apis/distributedtask/queues?actionFilter=use", token, nil)); g.num("count") != 1 {
		t.Errorf("a user of the queue sees %s", g.raw)
	}
}

func TestQueues(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Projects = []string{"One", "Two"} })
	project := w.want(200, w.call("GET", "_apis/projects/one"+v71, w.admin(), nil)).text("id")
	if g := w.want(200, w.call("GET", "_apis/projects"+v71, w.admin(), nil)); g.num("count") != 2 {
		t.Errorf("the projects are %s", g.raw)
	}
	w.want(404, w.call("GET", "_apis/projects/three"+v71, w.admin(), nil))
	pool := w.want(200, w.call("POST", pools+v71, w.admin(), obj{"name": "lone"})).num("id")
	queues := project + "/_apis/distributedtask/queues"
	if g := w.want(200, w.call("GET", queues+"?queueName=lone", w.admin(), nil)); g.num("count") != 0 {
		t.Errorf("a pool that is not provisioned is in %s", g.raw)
	}
	g := w.want(200, w.call("POST", queues+v71+"&authorizePipelines=false", w.admin(), obj{"name": "lone", "pool": obj{"id": pool}}))
	queue := g.num("id")
	if g.num("pool", "id") != pool || g.text("projectId") != project {
		t.Errorf("the queue is %s", g.raw)
	}
	w.wantError(409, "TaskAgentQueueExistsException", "", w.call("POST", queues+v71, w.admin(), obj{"name": "lone", "pool": obj{"id": pool}}))
	permissions := fmt.Sprintf("%s/_apis/pipelines/pipelinePermissions/queue/%d%s", project, queue, preview)
	if g := w.want(200, w.call("GET", permissions, w.admin(), nil)); g.at("allPipelines") != nil {
		t.Errorf("nobody opened it, and it says %s", g.raw)
	}
	open := obj{"allPipelines": obj{"authorized": true}, "pipelines": []obj{{"id": 5, "authorized": true}}}
	if g := w.want(200, w.call("PATCH", permissions, w.admin(), open)); g.at("allPipelines", "authorized") != true || g.num("pipelines", 0, "id") != 5 {
		t.Errorf("opened %s", g.raw)
	}
	w.want(403, w.call("PATCH", permissions, w.bearer(), open))
	w.want(400, w.call("GET", project+"/_apis/pipelines/pipelinePermissions/endpoint/1"+preview, w.admin(), nil))
	if s := w.State().Projects[0]; s.Name != "One" || len(s.Queues) != 2 || !s.Queues[1].AllPipelines || s.Queues[0].AllPipelines {
		t.Errorf("the state is %+v", s)
	}
	w.want(200, w.call("PATCH", fmt.Sprintf("%s/%d%s", pools, pool, v71), w.admin(), obj{"autoProvision": true}))
	if s := w.State().Projects[1]; len(s.Queues) != 2 {
		t.Errorf("provisioned late: %+v", s)
	}
	w.want(204, w.call("DELETE", fmt.Sprintf("%s/%d%s", queues, queue, v71), w.admin(), nil))
	w.want(404, w.call("GET", fmt.Sprintf("%s/%d", queues, queue), w.admin(), nil))
	w.want(204, w.call("DELETE", fmt.Sprintf("%s/%d%s", pools, pool, v71), w.admin(), nil))
	if s := w.State().Projects[1]; len(s.Queues) != 1 {
		t.Errorf("the pool is gone, and its queue is not: %+v", s)
	}
}

// Clients find the routes by discovery, on the right host.
func TestDiscoveryOfTheOtherHosts(t *testing.T) {
	w := newWorld(t)
	for host, want := range map[string]string{"": "9461c234-c84c-4ed2-b918-2f0f92ad0a35", "vssps/": "e1dbb0ae-49cb-4532-95a1-86cd89cfcab4", "vsaex/": "f03dbf50-80f8-41b7-8ca2-65b6a178caba"} {
		g := w.want(200, w.call("OPTIONS", "!/"+host+"emulated/_apis", "", nil))
		var here []string
		for i := range g.num("count") {
			here = append(here, g.text("value", i, "id"))
		}
		if !slices.Contains(here, want) || !slices.Contains(here, "e81700f7-3be2-46de-8624-2eb35882fcaa") {
			t.Errorf("%q has %v", host, here)
		}
		if host != "" && slices.Contains(here, "a8c47e17-4d56-4a56-92bb-de7ea7dc65be") {
			t.Errorf("%q has pools", host)
		}
	}
}
