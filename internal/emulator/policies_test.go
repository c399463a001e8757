package emulator

import (
	"strings"
	"testing"
)

const whoami = "_apis/connectionData" + preview

func TestAnOrganisationWithoutEntra(t *testing.T) {
	w := newWorld(t)
	token := w.tokenFor(Identity{ObjectID: newGUID(), Member: true})
	w.want(200, w.call("GET", whoami, token, nil))
	w.SetPolicies(Policies{WithoutEntra: true})
	g := w.want(401, w.call("GET", whoami, token, nil))
	if g.Header.Get("X-VSS-ResourceTenant") != zeroGUID || !strings.Contains(g.Header.Get("WWW-Authenticate"), zeroGUID) {
		t.Errorf("it names %v", g.Header)
	}
	w.want(200, w.call("GET", whoami, w.admin(), nil)) // a PAT has no tenant
}

func TestWhatIsPublic(t *testing.T) {
	w := newWorld(t)
	w.want(401, w.call("GET", whoami, "Bearer nobodys", nil))
	w.SetPolicies(Policies{PublicProjects: true})
	for _, token := range []string{"", "Bearer nobodys"} {
		g := w.want(200, w.call("GET", whoami, token, nil))
		if g.at("authenticatedUser", "id") != anonymousID || g.at("authenticatedUser", "providerDisplayName") != "Anonymous" {
			t.Errorf("the user is %s", g.raw)
		}
	}
}

func TestConditionalAccess(t *testing.T) {
	w := newWorld(t)
	id := Identity{ObjectID: newGUID(), Member: true, ConditionalAccess: PolicyAtService}
	g := w.want(403, w.call("GET", whoami, w.tokenFor(id), nil))
	if !strings.HasPrefix(g.text("message"), "VS403463: ") || g.text("typeKey") != "VssServiceException" {
		t.Errorf("it says %s", g.raw)
	}
}

func TestKindsOfPools(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		spec   PoolSpec
		hosted bool
		kind   string
		option string
	}{
		{PoolSpec{Name: "Azure Pipelines", Hosted: true}, true, "automation", "none"},
		{PoolSpec{Name: "Scale set", Elastic: true}, false, "automation", "elasticPool, singleUseAgents"},
		{PoolSpec{Name: "Group", Deployment: true}, false, "deployment", "none"},
		{PoolSpec{Name: "Default"}, false, "automation", "none"},
	} {
		if err := w.PutPool(tt.spec); err != nil {
			t.Fatal(err)
		}
		g := w.want(200, w.call("GET", pools+v71+"&poolName="+strings.ReplaceAll(tt.spec.Name, " ", "%20"), w.admin(), nil))
		if g.at("value", 0, "isHosted") != tt.hosted || g.at("value", 0, "poolType") != tt.kind || g.at("value", 0, "options") != tt.option {
			t.Errorf("%+v is %s", tt.spec, g.raw)
		}
	}
	if err := w.PutPool(PoolSpec{}); err == nil {
		t.Error("a pool without a name is kept")
	}
}

func TestPoliciesByTheControlAPI(t *testing.T) {
	w := newWorld(t)
	c := NewControl(w.url, nil)
	if err := c.SetPolicies(w.ctx(), Policies{WithoutEntra: true}); err != nil || !w.Policies().WithoutEntra {
		t.Errorf("%+v, %v", w.Policies(), err)
	}
	if err := c.PutPool(w.ctx(), PoolSpec{Name: "New", Hosted: true}); err != nil || w.State().Pool("New") == nil {
		t.Errorf("%+v, %v", w.State(), err)
	}
}
