package script

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

// exportEntra exports the address of Entra ID and its certificate to a script. Actors get them
// only as azptend's settings.
func exportEntra(env *testscript.Env, e *emulator.Emulator, entra *httptest.Server) error {
	ca := filepath.Join(env.WorkDir, "ca.pem")
	env.Setenv("CA", ca)
	env.Setenv("ENTRA", entra.URL+"/")
	env.Setenv("TENANT", e.Tenant)
	return os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: entra.Certificate().Raw}), 0o600)
}

// cmdIdentity adds an identity from a file, with a certificate from another, and exports its ids:
// identity NAME FILE [CERTIFICATE].
func cmdIdentity(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: identity NAME FILE [CERTIFICATE]")
	}
	e := stageOf(ts).emulator
	var id emulator.Identity
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &id))
	if len(args) > 2 {
		id.Certificate = ts.ReadFile(args[2])
	}
	ts.Check(e.PutIdentity(id))
	for _, known := range e.Identities() {
		if known.ObjectID == id.ObjectID {
			ts.Setenv(args[0]+"_CLIENT_ID", known.ClientID)
			ts.Setenv(args[0]+"_OBJECT_ID", known.ObjectID)
			ts.Setenv(args[0]+"_RESOURCE_ID", known.ResourceID)
		}
	}
}

// cmdCertificate makes a certificate and its key: certificate FILE.
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certificate FILE")
	}
	both, err := launch.NewCertificate()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), both, 0o600))
}

// cmdProject writes a workload's token like a kubelet: project FILE SUBJECT.
func cmdProject(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: project FILE SUBJECT")
	}
	s := stageOf(ts)
	token, err := s.emulator.ProjectedToken(args[1])
	ts.Check(err)
	s.secrets["the projected token"] = token
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token+"\n"), 0o600))
}

// cmdElapse advances the emulator's clock, while sessions are polled and jobs renewed: elapse
// DURATION.
func cmdElapse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: elapse DURATION")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	stageOf(ts).emulator.Elapse(d)
}

// cmdProxy starts a proxy that sends requests for all hosts to the emulator, and exports its
// address as PROXY.
func cmdProxy(ts *testscript.TestScript, _ bool, _ []string) {
	s := stageOf(ts)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.IsAbs() { // a client sends this to a server, not to a proxy
			http.Error(w, "this is a proxy", http.StatusBadRequest)
			return
		}
		s.proxied.Add(1)
		s.emulator.ServeHTTP(w, r)
	}))
	ts.Defer(proxy.Close)
	ts.Setenv("PROXY", proxy.URL)
}

// cmdProxied checks that requests went through the proxy, or with ! that none did.
func cmdProxied(ts *testscript.TestScript, neg bool, _ []string) {
	if n := stageOf(ts).proxied.Load(); (n == 0) != neg {
		ts.Fatalf("%d requests went through the proxy", n)
	}
}

// cmdElsewhere writes the emulated identity's token for another resource:
// elsewhere FILE RESOURCE.
func cmdElsewhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: elsewhere FILE RESOURCE")
	}
	s := stageOf(ts)
	token, err := s.emulator.IssueToken(ts.Getenv("OBJECT_ID"), args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token), 0o600))
}
