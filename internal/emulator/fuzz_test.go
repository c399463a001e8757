package emulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"", "Bearer x", "bearer  x ", "Basic OnBhdA==", "Basic !!", "Negotiate YII", "Basic", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, secret := parseAuthorization(s)
		if kind == schemeUnknown && secret != "" || kind == schemeNone && secret != "" {
			t.Errorf("%q is of kind %d and yet has the secret %q", s, kind, secret)
		}
	})
}

func FuzzAssertion(f *testing.F) {
	e := must(New(Options{KeyOf: keyHolder(), Now: testClock}))
	f.Cleanup(e.Close)
	f.Add("a.b.c")
	f.Add(must(e.sign(obj{"iss": "x", "sub": "x", "exp": 1e300, "nbf": -1e300})))
	f.Add(must(e.sign(obj{"iss": 7})))
	f.Fuzz(func(t *testing.T, s string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if a, why := e.checkAssertion(s); a != nil || why == "" {
			t.Errorf("%q was accepted", s)
		}
	})
}

func FuzzDemand(f *testing.F) {
	for _, s := range []string{"docker", "x -equals y z", "Agent.Version -gtVersion 2.182.1", "-gtVersion 1.2.3", "a,b,,c", " "} {
		f.Add(s)
	}
	a := &agent{system: map[string]string{"Agent.Version": "5.282.3", "docker": ""}}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range splitDemands(s) {
			if d != strings.TrimSpace(d) || d == "" || strings.Contains(d, ",") {
				t.Errorf("%q has the part %q", s, d)
			}
			a.satisfies([]string{d})
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	f.Add("AQAB", publicKeyOf(agentKey()).Modulus)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, exponent, modulus string) {
		if k, err := parsePublicKey(publicKeyJSON{exponent, modulus}); err == nil && (k.E < 3 || k.N.BitLen() < 2048) {
			t.Errorf("a key with exponent %d and %d bits was accepted", k.E, k.N.BitLen())
		}
	})
}

// FuzzCall: no path, version or body makes the emulator panic, and each of its answers is JSON, a
// page or empty.
func FuzzCall(f *testing.F) {
	e := must(New(Options{KeyOf: keyHolder(), Now: testClock, TimeScale: 1e9}))
	f.Cleanup(e.Close)
	f.Add("POST", "/emulated/_apis/distributedtask/pools/1/agents?api-version=7.1", `{"name":"a","version":"1.2.3"}`)
	f.Add("PATCH", "/emulated/_apis/distributedtask/pools/1/agents/1?api-version=7.1", `{"id":1,"enabled":false}`)
	f.Add("GET", "/emulated/_apis/distributedtask/pools/1/jobrequests?$top=1", "")
	f.Add("POST", "/emulated/_apis/distributedtask/pools/1/messages?api-version=7.1-preview", "null")
	f.Add("POST", "/vssps/emulated/_apis/oauth2/token", "grant_type=client_credentials")
	f.Add("OPTIONS", "/emulated/_apis", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://host"+target, strings.NewReader(body))
		if err != nil || strings.HasPrefix(strings.ToLower(r.URL.Path), "/_emulator") {
			t.Skip()
		}
		r.Header.Set("Authorization", basic(e.DefaultPAT))
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) && method != http.MethodHead {
			t.Errorf("%s %s answered %s", method, target, w.Body)
		}
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s answered 500 %s", method, target, w.Body)
		}
	})
}
