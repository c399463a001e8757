package emulator

import (
	"fmt"
	"strings"
	"testing"
)

// These tests check what other projects' clients need (docs/conformance.md), also where those
// clients cannot run.

// node-api sends the number of an enumeration value where the service uses its name.
func TestNumbersForNames(t *testing.T) {
	w := newWorld(t)
	made := w.want(200, w.call("POST", pools+v71, w.bearer(), obj{"name": "targets", "poolType": 2}))
	if got := made.text("poolType"); got != "deployment" {
		t.Errorf("poolType 2 makes a pool of type %q", got)
	}
	w.want(400, w.call("POST", pools+v71, w.bearer(), obj{"name": "no", "poolType": true}))
}

// Clients that change an agent often send back everything that they read: its times, its request,
// its pending update.
func TestAgentSentBackWhole(t *testing.T) {
	w := newWorld(t)
	l := w.start("whole")
	job, err := w.QueueJob(JobSpec{Script: "true"})
	if err != nil {
		t.Fatal(err)
	}
	w.want(200, w.call("POST", pools+"/1/messages"+vp, w.bearer(), nil))
	one := fmt.Sprint(agents, "/", l.id)
	read := w.want(200, w.call("GET", one+v71+"&includeAssignedRequest=true&includeCapabilities=true", w.bearer(), nil))
	if read.num("assignedRequest", "requestId") != int(job.RequestID) || read.num("pendingUpdate", "targetVersion", "major") == 0 {
		t.Fatalf("the agent that was read is %s", read.raw)
	}
	whole := read.json.(map[string]any)
	whole["enabled"], whole["status"], whole["createdOn"] = false, 2, "0001-01-01T00:00:00"
	w.want(200, w.call("PATCH", one+v71, w.bearer(), whole))
	if a := w.State().Pool("Default").Agent("whole"); a.Enabled || a.CreatedOn.IsZero() {
		t.Errorf("the agent that was sent back is %+v", a)
	}
}

// MSAL, in KEDA's workload identity, asks for its authority below "common", and follows the address
// in the answer.
func TestInstanceDiscoveryKeepsTheTenant(t *testing.T) {
	w := newWorld(t)
	const about = "https://login.example/" + "11111111-1111-4111-8111-111111111111"
	g := w.want(200, w.call("GET", "!/common/discovery/instance?api-version=1.1&authorization_endpoint="+about+"/oauth2/v2.0/authorize", "", nil))
	if got := g.text("tenant_discovery_endpoint"); got != about+"/v2.0/.well-known/openid-configuration" {
		t.Errorf("the way on is %q", got)
	}
	g = w.want(200, w.call("GET", "!/"+w.Tenant+"/discovery/instance", "", nil))
	if got := g.text("tenant_discovery_endpoint"); got != w.url+"/"+w.Tenant+"/v2.0/.well-known/openid-configuration" {
		t.Errorf("without a question the way on is %q", got)
	}
}

// Clients fill in a template by the names of its parameters, and drop values without a parameter:
// node-api passes the identity of a role as identityId, and without that parameter would change the
// whole list.
func TestTemplatesNameWhatClientsFillIn(t *testing.T) {
	w := newWorld(t)
	g := w.want(200, w.call("OPTIONS", "_apis/securityroles", w.admin(), nil))
	const want = "_apis/{area}/scopes/{scopeId}/{resource}/resources/{resourceId}/{identityId}"
	if !strings.Contains(g.raw, want) {
		t.Errorf("the templates are %s, without %s", g.raw, want)
	}
}
