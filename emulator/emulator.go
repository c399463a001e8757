// Package emulator plays Azure DevOps' agent pools and Azure's identity endpoints on localhost, in memory. It is for
// tests of anything that talks to agent pools: a KEDA scaler, a Terraform provider, a script. It needs no organisation,
// no network and no agent, and imports nothing but the standard library.
//
//	func TestMyTool(t *testing.T) {
//		azure := emulator.Start(t, emulator.Options{Pools: []string{"linux"}})
//		tool := mytool.New(azure.OrgURL, azure.PAT)
//		…
//	}
//
// A test queues jobs, breaks or holds calls, and looks at the state that results. What this package has no function
// for (identities with roles, personal access tokens with scopes, the clock, rate limits, scheduled events) is asked of
// the control API, which is HTTP below /_emulator/; docs/emulator.md in this repository has its list.
//
// Nothing here was compared with a live organisation. What nobody could verify about the service is a named assumption
// that a test can reverse, see [Assumptions].
package emulator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// Options say what to emulate. The zero value is an organisation "emulated" with one pool, "Default", at real speed.
type Options struct {
	Org      string   // the organisation's name
	Pools    []string // that exist at the start; ids count from 1
	Projects []string // that exist at the start; default "Project"
	Hosts    []string // names by which clients call it, besides addresses and localhost
	// TimeScale (1 or more) divides the protocol's slow times: the long poll of 50 s, the lifetime of a session that
	// nobody polls, the lock of a job.
	TimeScale float64
	// Assumptions are reversed from the start, see SetAssumptions.
	Assumptions []string
	// Package is an agent that clients can download. By default the list of packages names those of Microsoft's host.
	Package *Package
	Log     *slog.Logger // gets a debug line for each call and event
}

// Package is an agent to download.
type Package struct {
	Platform string // "linux-x64"
	Version  string // "5.282.3"
	Archive  func() ([]byte, error)
}

// Emulator is a running emulator. Its methods may be called by several goroutines.
type Emulator struct {
	URL    string // "http://127.0.0.1:8140"
	OrgURL string // "http://127.0.0.1:8140/emulated", what tools call the organisation's URL
	PAT    string // a personal access token of a project collection administrator
	// Handler answers the same calls. A test that needs TLS serves it with httptest.NewTLSServer.
	Handler http.Handler

	inner *emulator.Emulator
}

// Start starts an emulator on a free port of 127.0.0.1, for a test (*testing.T or *testing.B). It ends with the test.
func Start(t interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}, o Options) *Emulator {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	e, ended, err := listen(ctx, "127.0.0.1:0", o)
	if err != nil {
		stop()
		t.Fatalf("cannot start the emulator: %v", err)
	}
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return e
}

// Listen starts an emulator on an address, such as "127.0.0.1:8140". It ends with ctx.
//
// Anybody who reaches the address can queue jobs, which run scripts on the machines of the agents: listen on loopback,
// or on a network that is yours alone.
func Listen(ctx context.Context, address string, o Options) (*Emulator, error) {
	e, _, err := listen(ctx, address, o)
	return e, err
}

// keyHolder lends its signing key to all emulators of a process: a key takes a tenth of a second to make.
var keyHolder = sync.OnceValues(func() (*emulator.Emulator, error) { return emulator.New(emulator.Options{}) })

func listen(ctx context.Context, address string, o Options) (*Emulator, <-chan struct{}, error) {
	assumptions, err := emulator.AssumptionsNamed(o.Assumptions...)
	if err != nil {
		return nil, nil, err
	}
	keys, err := keyHolder()
	if err != nil {
		return nil, nil, err
	}
	inner, err := emulator.New(emulator.Options{
		KeyOf: keys, Org: o.Org, Pools: o.Pools, Projects: o.Projects, Hosts: o.Hosts, TimeScale: o.TimeScale,
		Assumptions: assumptions, AgentPackage: (*emulator.AgentPackage)(o.Package), Log: o.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		inner.Close()
		return nil, nil, err
	}
	url := "http://" + listener.Addr().String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = inner.Serve(ctx, listener)
	}()
	return &Emulator{URL: url, OrgURL: url + "/" + inner.State().Org, PAT: inner.DefaultPAT, Handler: inner, inner: inner}, ended, nil
}

// Env is the environment ("NAME=value") of a process that has a managed identity, as on Container Apps: AZP_URL,
// AZP_POOL, IDENTITY_ENDPOINT, IDENTITY_HEADER and MANAGED_IDENTITY_OBJECT_ID. The identity administers all pools.
func (e *Emulator) Env() []string {
	var env []string
	for _, v := range e.inner.Environment(e.URL) {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// Assumptions are the names of everything that nobody could verify about the real service. docs/assumptions.md in this
// repository says what each means.
func Assumptions() []string {
	return emulator.AssumptionNames()
}

// SetAssumptions reverses the named assumptions: the emulator then behaves in the other possible way. All others are
// as they were expected. A tool that passes its tests under each of them does not depend on a guess.
func (e *Emulator) SetAssumptions(names ...string) error {
	assumptions, err := emulator.AssumptionsNamed(names...)
	if err == nil {
		e.inner.SetAssumptions(assumptions)
	}
	return err
}

// Fault is something that goes wrong with matching calls. Delay applies together with anything else.
type Fault struct {
	Method string // "": any
	Path   string // a regular expression, found anywhere in the path and query; "": any
	Nth    int    // the first matching call that it happens to, from 1; default 1
	Times  int    // to how many calls in a row; 0: all

	Status  int // the answer is this, and the server does not act
	Body    string
	Headers map[string]string
	Delay   time.Duration
	Acts    bool   // the server acts, and then gives the answer above
	Drop    string // the connection is closed without an answer: "before" the server acts, or "after"
	Reset   bool   // it is closed by a TCP reset
}

// AddFault adds a fault. The returned function takes it away.
func (e *Emulator) AddFault(f Fault) (remove func(), err error) {
	id, err := e.inner.AddFault(emulator.Fault{
		Method: f.Method, Path: f.Path, Nth: f.Nth, Times: f.Times, Status: f.Status, Body: f.Body, Headers: f.Headers,
		Delay: f.Delay, Acts: f.Acts, DropAnswer: f.Drop, Reset: f.Reset,
	})
	return func() { e.inner.RemoveFault(id) }, err
}

// Hold stops one matching call until it is released, so that a test can do something at exactly that moment.
type Hold struct {
	Method, Path string // as in Fault
	Nth          int    // which matching call, from 1; default 1
	After        bool   // the server acts before the call is held; by default it acts after the release
}

// AddHold adds a hold. The channel is closed when the call is held; release lets the call go on, or pass.
func (e *Emulator) AddHold(h Hold) (reached <-chan struct{}, release func(), err error) {
	when := emulator.HoldBefore
	if h.After {
		when = emulator.HoldAfter
	}
	id, err := e.inner.AddHold(emulator.Hold{Method: h.Method, Path: h.Path, Nth: h.Nth, When: when})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot add the hold: %w", err)
	}
	held := make(chan struct{})
	go func() {
		if e.inner.WaitHold(context.Background(), id) == nil { // it also returns when the emulator ends
			close(held)
		}
	}()
	return held, func() { _ = e.inner.Release(id) }, nil
}
