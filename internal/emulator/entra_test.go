package emulator

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestMetadataServiceErrors(t *testing.T) {
	w := newWorld(t)
	const ok = "api-version=2018-02-01&resource=" + DevOpsResource
	for _, c := range []struct {
		name, query, header string
		status              int
		code                string
	}{
		{"no header", ok, "", 400, "bad_request_102"},
		{"a header that says no", ok, "Metadata: false", 400, "bad_request_102"},
		{"an api-version without tokens", "api-version=2017-08-01&resource=" + DevOpsResource, "Metadata: true", 400, "invalid_request"},
		{"no resource", "api-version=2018-02-01", "Metadata: true", 400, "invalid_resource"},
		{"an unknown resource", "api-version=2018-02-01&resource=https://nowhere", "Metadata: true", 400, "invalid_resource"},
		{"an unknown identity", ok + "&client_id=" + newGUID(), "Metadata: true", 400, "invalid_request"},
		{"App Service's name for the object", ok + "&principal_id=" + w.defaultOID, "Metadata: true", 200, ""}, // ignored: the only identity
	} {
		g := w.want(c.status, w.call("GET", "!/metadata/identity/oauth2/token?"+c.query, "", nil, c.header))
		if g.text("error") != c.code {
			t.Errorf("%s: the body is %s", c.name, g.raw)
		}
	}
	if err := w.PutIdentity(Identity{ObjectID: newGUID(), Attached: true}); err != nil {
		t.Fatal(err)
	}
	w.want(400, w.call("GET", "!/metadata/identity/oauth2/token?"+ok, "", nil, "Metadata: true")) // which of the two?
	machine := Identity{ObjectID: newGUID(), Attached: true, SystemAssigned: true, TokenLife: time.Hour}
	if err := w.PutIdentity(machine); err != nil {
		t.Fatal(err)
	}
	g := w.want(200, w.call("GET", "!/metadata/identity/oauth2/token?"+ok, "", nil, "Metadata: true"))
	if tok, err := parseJWT(g.text("access_token")); err != nil || tok.claims.ObjectID != machine.ObjectID || !strings.HasPrefix(g.text("expires_in"), "3") {
		t.Errorf("the answer is %s, %v", g.raw, err)
	}
}

// exchange asks Entra ID for a token.
func (w *world) exchange(tenant string, form map[string]string) got {
	values := url.Values{"grant_type": {"client_credentials"}, "scope": {DevOpsResource + "/.default openid offline_access profile"}}
	for k, v := range form {
		values.Set(k, v)
	}
	return w.call("POST", "!/"+tenant+"/oauth2/v2.0/token", "", values.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

func TestEntraID(t *testing.T) {
	w := newWorld(t)
	const subject = "system:serviceaccount:agents:pool"
	oid := newGUID()
	if err := w.PutIdentity(Identity{ObjectID: oid, ClientID: "app", Kind: KindServicePrincipal, Secret: "right", Subject: subject}); err != nil {
		t.Fatal(err)
	}
	g := w.want(200, w.call("GET", "!/"+w.Tenant+"/v2.0/.well-known/openid-configuration", "", nil))
	if g.text("token_endpoint") != w.url+"/"+w.Tenant+"/oauth2/v2.0/token" || !strings.HasPrefix(g.text("issuer"), w.url) {
		t.Errorf("the configuration is %s", g.raw)
	}
	w.want(400, w.call("GET", "!/nobody/v2.0/.well-known/openid-configuration", "", nil))
	projected, err := w.ProjectedToken(subject)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.ProjectedToken("system:serviceaccount:other:pool")
	if err != nil {
		t.Fatal(err)
	}
	assertion := func(s string) map[string]string {
		return map[string]string{"client_id": "app", "client_assertion_type": assertionType, "client_assertion": s}
	}
	for _, c := range []struct {
		name   string
		form   map[string]string
		status int
		code   string
	}{
		{"the secret", map[string]string{"client_id": "app", "client_secret": "right"}, 200, ""},
		{"another secret", map[string]string{"client_id": "app", "client_secret": "wrong"}, 401, "AADSTS7000215:"},
		{"another app", map[string]string{"client_id": "b", "client_secret": "right"}, 400, "AADSTS700016:"},
		{"no proof", map[string]string{"client_id": "app"}, 401, "AADSTS7000218:"},
		{"another scope", map[string]string{"client_id": "app", "client_secret": "right", "scope": "https://nowhere/.default"}, 400, "AADSTS70011:"},
		{"the workload", assertion(projected), 200, ""},
		{"with a newline", assertion(projected + "\n"), 401, "AADSTS50027:"},
		{"another workload", assertion(other), 401, "AADSTS700213:"},
		{"a changed token", assertion(projected[:len(projected)-4] + "AAAA"), 401, "AADSTS700211:"},
		{"an assertion of its own, without a certificate", assertion(w.signed(map[string]any{"iss": "app"})), 401, "AADSTS700027:"},
	} {
		g := w.want(c.status, w.exchange(w.Tenant, c.form))
		if !strings.HasPrefix(g.text("error_description"), c.code) {
			t.Errorf("%s: the body is %s", c.name, g.raw)
		}
		if c.status == 200 {
			if tok, err := parseJWT(g.text("access_token")); err != nil || tok.claims.ObjectID != oid || g.num("expires_in") != 3600 {
				t.Errorf("%s: the body is %s", c.name, g.raw)
			}
		}
	}
	w.Elapse(20 * time.Hour)
	if g := w.want(401, w.exchange(w.Tenant, assertion(projected))); !strings.HasPrefix(g.text("error_description"), "AADSTS700024:") {
		t.Errorf("an old token: %s", g.raw)
	}
}

func (w *world) signed(claims map[string]any) string {
	s, err := w.sign(claims)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// Elapse ages tokens, but not sessions or jobs.
func TestElapse(t *testing.T) {
	w := newWorld(t)
	w.mu.Lock()
	s := &session{id: "s", lastSeen: w.Now()}
	w.sessions["s"] = s
	w.mu.Unlock()
	w.Elapse(20 * time.Hour)
	if w.sessions["s"] == nil || w.Now().Sub(testClock()) < 20*time.Hour {
		t.Error("the session is gone, or the clock stands")
	}
	w.mu.Lock()
	delete(w.sessions, "s")
	w.mu.Unlock()
}
