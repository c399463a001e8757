package emulator_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/emulator"
)

// TestStart: the emulator stops with the test, and so do its holds.
func TestStart(t *testing.T) {
	var azure *emulator.Emulator
	t.Run("inner", func(t *testing.T) {
		azure = emulator.Start(t, emulator.Options{Org: "contoso", Pools: []string{"linux"}, Assumptions: []string{"deleteAnswers200"}})
		if _, _, err := azure.AddHold(emulator.Hold{Path: "/nobody"}); err != nil {
			t.Error(err)
		}
		if azure.OrgURL != azure.URL+"/contoso" || !strings.Contains(strings.Join(azure.Env(), " "), "AZP_URL="+azure.OrgURL) {
			t.Errorf("%+v, %v", azure, azure.Env())
		}
		if _, err := queueLength(azure.OrgURL, azure.PAT, 1); err != nil {
			t.Error(err)
		}
		tls := httptest.NewTLSServer(azure.Handler)
		defer tls.Close()
		if response, err := tls.Client().Get(tls.URL + "/contoso/_apis/connectionData"); err != nil || response.StatusCode == http.StatusOK {
			t.Errorf("over TLS, without a credential: %v, %v", response, err)
		}
	})
	if _, err := queueLength(azure.OrgURL, azure.PAT, 1); err == nil {
		t.Error("the emulator still answers after the test")
	}
	if _, err := azure.Wait(t.Context(), func(emulator.State) bool { return false }); err == nil {
		t.Error("a wait does not end with the emulator")
	}
}

// TestRefusals: what cannot be emulated is an error.
func TestRefusals(t *testing.T) {
	azure := emulator.Start(t, emulator.Options{})
	_, badHold := first2(azure.AddHold(emulator.Hold{Path: "("}))
	_, badFault := azure.AddFault(emulator.Fault{Path: "("})
	_, noPool := azure.QueueJob(emulator.Job{Pool: "x"})
	_, noAgent := azure.QueueJob(emulator.Job{})
	_, badAgent := azure.AddAgent(emulator.Agent{})
	_, badOptions := emulator.Listen(t.Context(), "127.0.0.1:0", emulator.Options{TimeScale: 0.5})
	_, badAddress := emulator.Listen(t.Context(), strings.TrimPrefix(azure.URL, "http://"), emulator.Options{})
	_, badStart := emulator.Listen(t.Context(), "127.0.0.1:0", emulator.Options{Assumptions: []string{"x"}})
	for what, err := range map[string]error{"a hold": badHold, "a fault": badFault, "a job without a pool": noPool, "a job without an agent": noAgent,
		"an agent": badAgent, "options": badOptions, "an address": badAddress, "an assumption": azure.SetAssumptions("x"), "options' assumption": badStart} {
		if err == nil {
			t.Errorf("%s is not refused", what)
		}
	}
}

func first2[A, B any](a A, _ B, err error) (A, error) { return a, err }

// TestState: the state shows what was added and the calls that were made, and faults can be
// removed.
func TestState(t *testing.T) {
	azure := emulator.Start(t, emulator.Options{Pools: []string{"one", "two"}})
	put, err := azure.AddAgent(emulator.Agent{Name: "a", Disabled: true, SystemCapabilities: map[string]string{"sh": "/bin/sh"}})
	if err != nil || put.Pool != "one" || put.ID == 0 || put.Version == "" || !put.Disabled || put.SystemCapabilities["sh"] == "" {
		t.Errorf("added %+v, %v", put, err)
	}
	remove, err := azure.AddFault(emulator.Fault{Path: "/agents", Drop: "before"})
	if err != nil {
		t.Fatal(err)
	}
	url := azure.OrgURL + "/_apis/distributedtask/pools/1/agents"
	if _, err := http.Get(url); err == nil {
		t.Error("the fault does nothing")
	}
	remove()
	if response, err := http.Get(url); err != nil {
		t.Errorf("after the fault: %v, %v", response, err)
	}
	s := azure.State()
	if len(s.Agents) != 1 || len(s.Calls) < 2 || s.Calls[0].Status != 0 || s.Calls[1].Status == 0 {
		t.Errorf("the state is %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := azure.Wait(ctx, func(emulator.State) bool { return false }); err == nil {
		t.Error("a wait does not end with its context")
	}
}

// TestPackage: the archive is built once, at the first request.
func TestPackage(t *testing.T) {
	made := 0
	azure := emulator.Start(t, emulator.Options{Package: &emulator.Package{Platform: "linux-x64", Version: "5.1.2",
		Archive: func() ([]byte, error) { made++; return []byte("archive"), nil }}})
	url := azure.URL + "/_packages/agent/5.1.2/vsts-agent-linux-x64-5.1.2.tar.gz"
	for range 2 {
		if response, err := http.Get(url); err != nil || response.StatusCode != http.StatusOK || response.ContentLength != int64(len("archive")) {
			t.Errorf("%v, %v", response, err)
		}
	}
	if made != 1 {
		t.Errorf("the archive was made %d times", made)
	}
}

// TestStandardLibraryOnly: importing this package brings in no other module.
func TestStandardLibraryOnly(t *testing.T) {
	const module = "github.com/azptend/azptend/"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Fields(string(out)), []string{module + "internal/emulator", module + "emulator"}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("it depends on %v, want %v", got, want)
	}
}

// TestTheAPIIsSmall counts exported names: of the package, and of methods.
func TestTheAPIIsSmall(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	add := func(id *ast.Ident) {
		if id.IsExported() {
			names = append(names, id.Name)
		}
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				add(d.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						for _, id := range s.Names {
							add(id)
						}
					}
				}
			}
		}
	}
	if len(names) > 20 || len(names) < 10 {
		t.Errorf("%d exported names: %v", len(names), names)
	}
	t.Log(len(names), names)
}
