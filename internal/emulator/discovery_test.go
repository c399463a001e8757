package emulator

import (
	"strings"
	"testing"
)

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	all := w.want(200, w.call("OPTIONS", "_apis", "", nil))
	here := 0
	for _, r := range w.routes {
		if r.servedAt("") && !r.unversioned {
			here++
		}
	}
	if all.num("count") != here {
		t.Errorf("%d locations, want %d", all.num("count"), here)
	}
	one := w.want(200, w.call("OPTIONS", "_apis/DistributedTask/", "", nil))
	released := map[string]string{}
	for i := range one.num("count") {
		released[one.text("value", i, "resourceName")] = one.text("value", i, "releasedVersion")
	}
	if released["pools"] != "7.2" || released["jobrequests"] != "0.0" || released["ResourceAreas"] != "" {
		t.Errorf("the locations are %v", released)
	}
	if g := w.want(200, w.call("OPTIONS", "_apis/Location", "", nil)); g.num("count") != 2 {
		t.Errorf("the area Location has %s", g.raw)
	}
	g := w.want(200, w.call("GET", "_apis/ResourceAreas", w.admin(), nil))
	if g.text("value", 0, "locationUrl") != w.url+"/emulated/" || g.text("value", 4, "locationUrl") != w.url+"/vsaex/emulated/" {
		t.Errorf("the areas are %s", g.raw)
	}
	g = w.want(200, w.call("GET", "_apis/resourceareas/A85B8835-c1a1-4aac-ae97-1c3d0ba72dbd", w.admin(), nil, "Accept: ;api-version=7.1-preview.1"))
	if g.text("name") != "distributedtask" {
		t.Errorf("the area is %s", g.raw)
	}
	if g = w.want(200, w.call("GET", "_apis/resourceareas/"+newGUID(), w.admin(), nil)); g.raw != "null" {
		t.Errorf("an unknown area is %s", g.raw)
	}
}

func TestConnectionData(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	g := w.want(200, w.call("GET", "_apis/connectionData", w.bearer(), nil))
	id := g.text("authenticatedUser", "id")
	if g.text("deploymentType") != "hosted" || g.text("instanceId") != w.instanceID || id[14] != '6' ||
		g.text("authenticatedUser", "descriptor") != "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;"+w.Tenant+`\`+w.defaultOID ||
		g.text("authorizedUser", "properties", "Account", "$value") != w.defaultOID {
		t.Errorf("whoami: %s", g.raw)
	}
	sub, err := b64url.DecodeString(strings.TrimPrefix(g.text("authenticatedUser", "subjectDescriptor"), "aadsp."))
	if err != nil || string(sub) != id[:14]+"7"+id[15:] {
		t.Errorf("id %s and subject descriptor %s are no pair", id, sub)
	}
	if g.at("locationServiceData", "serviceDefinitions") != nil {
		t.Error("serviceDefinitions although nobody asked")
	}
	g = w.want(200, w.call("GET", "_apis/connectiondata?connectOptions=1&lastChangeId=-1&lastChangeId64=-1", l.bearer, nil))
	if g.text("authenticatedUser", "providerDisplayName") != "a1" || g.text("locationServiceData", "serviceDefinitions", 0, "serviceType") != "LocationService2" {
		t.Errorf("the agent's whoami: %s", g.raw)
	}
	w.wantError(400, "VssInvalidPreviewVersionException", "", w.call("GET", "_apis/connectionData?api-version=7.1", w.admin(), nil))
	w.want(401, w.call("GET", "_apis/connectionData", "", nil))
	if g = w.want(200, w.call("GET", "!/emulated/_apis/connectionData", w.admin(), nil, "X-TFS-Session: s-1")); g.Header.Get("X-TFS-Session") != "s-1" {
		t.Error("the session is not echoed")
	}
}

func TestTenantAndUnknownPaths(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Org = "Contoso" })
	for path, tenant := range map[string]string{"/vssps/contoso": w.Tenant, "/vssps/nobody": "", "/CONTOSO/_apis/nothing": w.Tenant, "/": ""} {
		g := w.want(404, w.call("HEAD", "!"+path, "", nil))
		if g.Header.Get("X-VSS-ResourceTenant") != tenant {
			t.Errorf("%s names the tenant %q, want %q", path, g.Header.Get("X-VSS-ResourceTenant"), tenant)
		}
	}
	w.want(200, w.call("GET", "!/CONTOSO/_apis/distributedtask/POOLS", w.admin(), nil))
	g := w.want(200, w.call("GET", "_apis/distributedtask/packages/agent?platform=linux-x64&top=1", w.admin(), nil))
	if g.num("count") != 1 || g.num("value", 0, "version", "major") != 5 || g.text("value", 0, "filename") != "vsts-agent-linux-x64-5.282.3.tar.gz" {
		t.Errorf("the packages are %s", g.raw)
	}
	w.want(200, w.call("GET", "_apis/distributedtask/packages/agent/linux-arm64/5.282.3", w.admin(), nil))
	w.want(404, w.call("GET", "_apis/distributedtask/packages/agent/linux-arm64/1.0.0", w.admin(), nil))
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Org: "vssps"}, {Org: "a/b"}, {TimeScale: 0.5}, {Pools: []string{"a", "A"}}, {Pools: []string{""}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
