// Package emulator simulates Azure DevOps' agent pools and Azure's identity endpoints on localhost, in memory. It is
// for tests of anything that talks to agent pools: a KEDA scaler, a Terraform provider, a script. It needs no
// organisation, no network and no agent, and imports only the standard library.
//
//	func TestMyTool(t *testing.T) {
//		azure := emulator.Start(t, emulator.Options{Pools: []string{"linux"}})
//		tool := mytool.New(azure.OrgURL, azure.PAT)
//		…
//	}
//
// A test queues jobs, makes calls fail or holds them, and checks the resulting state. For everything else (identities
// with roles, personal access tokens with scopes, the clock, rate limits, scheduled events) use the control API: HTTP
// below /_emulator/, described in docs/emulator.md of this repository.
//
// Nothing here was compared with a live organisation. Each behaviour of the service that could not be verified is a
// named assumption that a test can reverse, see [Assumptions].
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

// Options configure an emulator. The zero value is an organisation "emulated" with one pool, "Default", at real
// speed.
type Options struct {
	Org      string   // the organisation's name
	Pools    []string // pools that exist at the start; their ids count from 1
	Projects []string // projects that exist at the start; default "Project"
	Hosts    []string // host names that clients use, in addition to IP addresses and localhost
	// TimeScale (1 or more) divides the long times of the protocol: the long poll of 50 s, the lifetime of a session
	// that is not polled, the lock of a job.
	TimeScale float64
	// Assumptions are reversed from the start, see SetAssumptions.
	Assumptions []string
	// Package is an agent that clients can download. By default the list of packages has the addresses of Microsoft's
	// host.
	Package *Package
	Log     *slog.Logger // gets a debug line for each call and event
}

// Package is an agent to download.
type Package struct {
	Platform string // "linux-x64"
	Version  string // "5.282.3"
	Archive  func() ([]byte, error)
}

// Emulator is a running emulator. Its methods are safe for concurrent use.
type Emulator struct {
	URL    string // "http://127.0.0.1:8140"
	OrgURL string // "http://127.0.0.1:8140/emulated", what tools call the organisation's URL
	PAT    string // a personal access token of a project collection administrator
	// Handler answers the same calls. A test that needs TLS serves it with httptest.NewTLSServer.
	Handler http.Handler

	inner *emulator.Emulator
}

// Start starts an emulator on a free port of 127.0.0.1, for a test (*testing.T or *testing.B). It stops at the end of
// the test.
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

// Listen starts an emulator on an address, such as "127.0.0.1:8140". It stops when ctx ends.
//
// Anyone who reaches the address can queue jobs, which run scripts on the machines of the agents: listen on loopback,
// or on a private network.
func Listen(ctx context.Context, address string, o Options) (*Emulator, error) {
	e, _, err := listen(ctx, address, o)
	return e, err
}

// keyHolder shares its signing key with all emulators of a process, because creating a key takes 100 ms.
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

// Env is the environment ("NAME=value") of a process with a managed identity, as on Container Apps: AZP_URL,
// AZP_POOL, IDENTITY_ENDPOINT, IDENTITY_HEADER and MANAGED_IDENTITY_OBJECT_ID. The identity is an administrator of
// all pools.
func (e *Emulator) Env() []string {
	var env []string
	for _, v := range e.inner.Environment(e.URL) {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// Assumptions returns the names of everything that could not be verified about the real service. docs/assumptions.md
// in this repository describes each of them.
func Assumptions() []string {
	return emulator.AssumptionNames()
}

// SetAssumptions reverses the named assumptions: the emulator then behaves in the other possible way. It resets all
// others. A tool that passes its tests under each of them does not depend on a guess.
func (e *Emulator) SetAssumptions(names ...string) error {
	assumptions, err := emulator.AssumptionsNamed(names...)
	if err == nil {
		e.inner.SetAssumptions(assumptions)
	}
	return err
}

// Fault changes the result of matching calls. Delay applies together with anything else.
type Fault struct {
	Method string // "": any
	Path   string // a regular expression, found anywhere in the path and query; "": any
	Nth    int    // the first matching call that it applies to, from 1; default 1
	Times  int    // the number of consecutive calls; 0: all

	Status  int // the answer has this status, and the server does not act
	Body    string
	Headers map[string]string
	Delay   time.Duration
	Acts    bool   // the server acts, and then gives the answer above
	Drop    string // the connection is closed without an answer: "before" the server acts, or "after"
	Reset   bool   // the connection is closed by a TCP reset
}

// AddFault adds a fault. The returned function removes it.
func (e *Emulator) AddFault(f Fault) (remove func(), err error) {
	id, err := e.inner.AddFault(emulator.Fault{
		Method: f.Method, Path: f.Path, Nth: f.Nth, Times: f.Times, Status: f.Status, Body: f.Body, Headers: f.Headers,
		Delay: f.Delay, Acts: f.Acts, DropAnswer: f.Drop, Reset: f.Reset,
	})
	return func() { e.inner.RemoveFault(id) }, err
}

// Hold blocks one matching call until it is released, so that a test can act at exactly that moment.
type Hold struct {
	Method, Path string // as in Fault
	Nth          int    // which matching call, from 1; default 1
	After        bool   // the server acts before the call is held; by default it acts after the release
}

// AddHold adds a hold. The channel is closed when the call is held. release lets the call continue, or pass if it has
// not come yet.
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
		if e.inner.WaitHold(context.Background(), id) == nil { // it also returns when the emulator stops
			close(held)
		}
	}()
	return held, func() { _ = e.inner.Release(id) }, nil
}
