package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestIdentityEndpointErrors(t *testing.T) {
	w := newWorld(t)
	const ok = "api-version=2019-08-01&resource=" + DevOpsResource
	for _, c := range []struct {
		name, method, query, header string
		status                      int
		message                     string
	}{
		{"no header", "GET", ok, "", 403, ""},
		{"wrong header", "GET", ok, "nonsense", 403, ""},
		{"post", "POST", ok, w.header, 405, ""},
		{"no api-version", "GET", "resource=" + DevOpsResource, w.header, 400, "api-version"},
		{"imds api-version", "GET", "api-version=2018-02-01&resource=" + DevOpsResource, w.header, 400, "2018-02-01"},
		{"no resource", "GET", "api-version=2019-08-01", w.header, 400, "resource"},
		{"unknown resource", "GET", "api-version=2019-08-01&resource=https://nowhere", w.header, 400, "AADSTS500011"},
		{"no selector", "GET", ok, w.header, 400, "Unable to load the proper Managed Identity"},
		{"imds selector is ignored", "GET", ok + "&msi_res_id=x", w.header, 400, "Unable to load the proper Managed Identity"},
		{"wrong object_id", "GET", ok + "&object_id=" + newGUID(), w.header, 400, "No User Assigned or Delegated Managed Identity found for specified PrincipalId."},
		{"wrong client_id", "GET", ok + "&client_id=" + newGUID(), w.header, 400, "No User Assigned or Delegated Managed Identity found for specified ClientId."},
		{"wrong mi_res_id", "GET", ok + "&mi_res_id=/x", w.header, 400, "No User Assigned or Delegated Managed Identity found for specified ResourceId."},
		{"two selectors", "GET", ok + "&object_id=a&client_id=b", w.header, 400, "Only one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := w.want(c.status, w.call(c.method, "!/msi/token?"+c.query, "", nil, "X-IDENTITY-HEADER: "+c.header))
			if g.Header.Get("Server") != "Kestrel" {
				t.Errorf("the Server header is %q", g.Header.Get("Server"))
			}
			switch {
			case c.message == "" && g.raw != "":
				t.Errorf("the body is %q, not empty", g.raw)
			case c.message != "" && (!strings.Contains(g.text("message"), c.message) || g.num("statusCode") != 400 || g.text("correlationId") == ""):
				t.Errorf("the body is %s", g.raw)
			}
		})
	}
}

func TestIdentityEndpointTokens(t *testing.T) {
	w := newWorld(t)
	id := w.Identities()[0]
	for _, i := range w.Identities() {
		if i.Attached {
			id = i
		}
	}
	var first string
	for _, q := range []string{"&object_id=" + id.ObjectID, "&principal_id=" + strings.ToUpper(id.ObjectID), "&client_id=" + id.ClientID, "&mi_res_id=" + id.ResourceID} {
		g := w.want(200, w.msi(q))
		if first == "" {
			first = g.raw
		}
		if g.raw != first {
			t.Errorf("%s answered another token than the cached one", q)
		}
		if want := strconv.FormatInt(w.Now().Unix()+24*3600, 10); g.text("expires_on") != want || g.text("token_type") != "Bearer" || g.text("client_id") != id.ClientID {
			t.Errorf("%s answered %s", q, g.raw)
		}
	}
	tok, err := parseJWT(w.want(200, w.msi("&object_id="+id.ObjectID)).text("access_token"))
	if err != nil || !tok.verify(&w.key.PublicKey) {
		t.Fatalf("the token does not verify: %v", err)
	}
	if c := tok.claims; c.ObjectID != id.ObjectID || c.Tenant != w.Tenant || c.Audience != DevOpsResource || c.Issuer != "https://sts.windows.net/"+w.Tenant+"/" {
		t.Errorf("the claims are %+v", c)
	}
	// The cache returns the token until 5 minutes before it expires.
	w.Advance(24*time.Hour - 5*time.Minute - time.Second)
	if w.msi("&object_id="+id.ObjectID).raw != first {
		t.Error("the cache let the token go early")
	}
	w.Advance(time.Second)
	if w.msi("&object_id="+id.ObjectID).raw == first {
		t.Error("the cache kept the token too long")
	}
	if ev := w.waitFor(EventTokenIssued); ev.Identity != id.ObjectID || ev.Detail != "fresh" {
		t.Errorf("the event is %+v", ev)
	}
	if err := w.PutIdentity(Identity{ObjectID: newGUID(), Attached: true, SystemAssigned: true, TokenLife: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if g := w.want(200, w.msi("")); g.text("expires_on") != strconv.FormatInt(w.Now().Unix()+3600, 10) {
		t.Errorf("the system's token is %s", g.raw)
	}
}

// TestAuthentication checks the rows of azure-devops-rest.md 5.
func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	good := w.bearer()
	jwt := strings.TrimPrefix(good, "Bearer ")
	stranger := newGUID()
	member, refused, foreign := newGUID(), newGUID(), newGUID()
	wrongAudience := strings.TrimPrefix(w.tokenFor(Identity{ObjectID: member, Member: true, Roles: Roles{AllPools: RoleReader}}), "Bearer ")
	if tok, err := w.IssueToken(member, "https://management.azure.com"); err == nil {
		wrongAudience = tok
	}
	expired, _ := w.PutPAT(PAT{Token: "expired", Roles: Roles{AllPools: RoleAdministrator}, Expires: w.Now()})
	if _, err := w.PutPAT(PAT{Token: "revoked", Revoked: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutPAT(PAT{Token: "narrow", Scopes: []string{"vso.code"}, Roles: Roles{AllPools: RoleAdministrator}}); err != nil {
		t.Fatal(err)
	}
	tf400813 := "TF400813: The user '' is not authorized to access this resource."
	for _, c := range []struct {
		name, auth string
		status     int
		message    string
		html       int // the status without X-TFS-FedAuthRedirect: Suppress
	}{
		{"bearer", good, 200, "", 200},
		{"jwt as password", basic(jwt), 200, "", 200},
		{"pat", w.admin(), 200, "", 200},
		{"no credential", "", 401, tf400813, 302},
		{"blank pat", basic(""), 401, tf400813, 203},
		{"nonsense bearer", "Bearer nonsense", 401, "", 302},
		{"spoiled signature", good[:len(good)-8] + "AAAAAAAA", 401, "", 302},
		{"nonsense pat", basic("nonsense"), 401, "", 203},
		{"no base64", "Basic !!", 401, "", 302},
		{"negotiate", "Negotiate abc", 401, "", 302},
		{"wrong audience", "Bearer " + wrongAudience, 401, "", 302},
		{"expired pat", basic(expired.Token), 401, "Access Denied: The Personal Access Token used has expired.", 203},
		{"revoked pat", basic("revoked"), 401, "", 203},
		{"narrow pat", basic("narrow"), 401, "", 401},
		{"stranger", w.tokenFor(Identity{ObjectID: stranger}), 401,
			fmt.Sprintf(`TF401444: Please sign-in at least once as %s\%s\%s in a web browser to enable access to the service.`, w.Tenant, w.Tenant, stranger), 401},
		{"refused", w.tokenFor(Identity{ObjectID: refused, Member: true, Refused: true}), 401,
			"TF400813: The user '" + w.identities[refused].storageKey + "' is not authorized to access this resource.", 401},
		{"wrong tenant", w.tokenFor(Identity{ObjectID: foreign, Tenant: newGUID(), Member: true}), 401, "", 302},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := w.want(c.status, w.call("GET", pools, c.auth, nil))
			if c.status == 401 {
				if g.text("message") != c.message || c.message == "" && g.raw != "" {
					t.Errorf("the body is %s", g.raw)
				}
				if want := "Bearer authorization_uri=https://login.microsoftonline.com/" + w.Tenant + ", Basic realm="; !strings.HasPrefix(g.Header.Get("WWW-Authenticate"), want) {
					t.Errorf("WWW-Authenticate is %q", g.Header.Get("WWW-Authenticate"))
				}
			}
			for _, h := range []string{"ActivityId", "X-TFS-Session", "X-VSS-E2EID"} {
				if g.Header.Get(h) == "" {
					t.Errorf("there is no header %s", h)
				}
			}
			if g.Header.Get("X-VSS-ResourceTenant") != w.Tenant {
				t.Errorf("X-VSS-ResourceTenant is %q", g.Header.Get("X-VSS-ResourceTenant"))
			}
			g = w.want(c.html, w.call("GET", pools, c.auth, nil, "X-TFS-FedAuthRedirect:"))
			if isPage := strings.Contains(g.raw, "Azure DevOps Services | Sign In"); isPage != (c.html == 203 || c.html == 302) {
				t.Errorf("without Suppress the body is %s", g.raw)
			}
			if c.html == 302 && w.want(203, w.call("GET", "!"+g.Header.Get("Location"), "", nil)).Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Error("the redirect does not lead to a page")
			}
		})
	}
}

func TestTokensExpireByTheClock(t *testing.T) {
	w := newWorld(t)
	entra, l := w.bearer(), w.start("a1")
	w.want(200, w.call("GET", pools, l.bearer, nil))
	w.Advance(agentLife - time.Second)
	w.want(200, w.call("GET", pools, l.bearer, nil))
	w.Advance(time.Second)
	w.want(401, w.call("GET", pools, l.bearer, nil))
	l.signIn()
	w.want(200, w.call("GET", pools, l.bearer, nil))
	w.want(200, w.call("GET", pools, entra, nil))
	w.Advance(24 * time.Hour)
	w.want(401, w.call("GET", pools, entra, nil))
}

func TestWrongTenantThrottled(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Assumptions.WrongTenantThrottled = true })
	g := w.call("GET", pools, w.tokenFor(Identity{ObjectID: newGUID(), Tenant: newGUID(), Member: true}), nil)
	w.want(http.StatusTooManyRequests, g)
	if g.Header.Get("Retry-After") != "619" || g.Header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("the headers are %v", g.Header)
	}
}

// TestClientAssertion breaks each part of the assertion that the token endpoint checks.
func TestClientAssertion(t *testing.T) {
	w := newWorld(t)
	l := w.register("a1")
	now := w.Now().Unix()
	replayed := l.assertion(nil)
	l.want(200, l.exchange(replayed))
	for _, c := range []struct{ name, assertion, description string }{
		{"replay", replayed, "used before"},
		{"garbage", "a.b", "cannot be read"},
		{"unknown client", l.assertion(func(c obj) { c["iss"] = "nobody" }), "Registration nobody was not found."},
		{"other subject", l.assertion(func(c obj) { c["sub"] = "nobody" }), "iss and sub"},
		{"audience", l.assertion(func(c obj) { c["aud"] = "https://elsewhere" }), "audience"},
		{"no jti", l.assertion(func(c obj) { delete(c, "jti") }), "jti"},
		{"too long", l.assertion(func(c obj) { c["exp"] = now + 301 }), "5 minutes. Current server time is "},
		{"no life", l.assertion(func(c obj) { delete(c, "exp") }), "Current server time is "},
		{"huge life", l.assertion(func(c obj) { c["exp"] = 1e300 }), "Current server time is "},
		{"future", l.assertion(func(c obj) { c["nbf"], c["exp"] = now+301, now+400 }), "not valid yet. Current server time is "},
		{"past", l.assertion(func(c obj) { c["nbf"], c["exp"] = now-700, now-400 }), "expired. Current server time is "},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := w.want(400, l.exchange(c.assertion))
			if g.text("error") != "invalid_client" || !strings.Contains(g.text("error_description"), c.description) {
				t.Errorf("the answer is %s", g.raw)
			}
		})
	}
	t.Run("other key", func(t *testing.T) {
		m := *l
		m.key = keyHolder().key
		if g := w.want(400, m.exchange(m.assertion(nil))); g.text("error") != "invalid_client" {
			t.Errorf("the answer is %s", g.raw)
		}
	})
	if g := w.want(400, w.call("POST", "!"+l.authURL, "", "grant_type=password")); g.text("error") != "unsupported_grant_type" {
		t.Errorf("another grant type: %s", g.raw)
	}
	w.Advance(10 * time.Minute)
	if l.want(400, l.exchange(replayed)); len(w.assertions) != 0 {
		t.Error("used assertions are kept for ever")
	}
	w.SetAssumptions(Assumptions{LongAssertions: true})
	l.want(200, l.exchange(l.assertion(func(c obj) { c["exp"] = w.Now().Unix() + 600; c["nbf"] = w.Now().Unix() })))
}
