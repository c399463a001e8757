package fakeagent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/proc"
)

// testScale divides the protocol's times, here and in the emulator. slowScale is for tests with a
// deadline of the protocol, which a busy machine might miss.
const testScale, slowScale = 60, 6

// rig is an emulator with a registered agent, and the agent's directory.
type rig struct {
	t       *testing.T
	ctx     context.Context
	em      *emulator.Emulator
	url     string // of the organisation
	root    string
	agentID int
	env     []string
}

func newRig(t *testing.T) *rig { return newRigAt(t, testScale) }

func newRigAt(t *testing.T, scale int) *rig {
	t.Helper()
	em, err := emulator.New(emulator.Options{Org: "org", TimeScale: float64(scale)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(em)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		em.Close()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	r := &rig{t: t, ctx: ctx, em: em, url: srv.URL + "/org", root: t.TempDir()}
	r.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.root,
		fmt.Sprintf("AZPTEND_FAKEAGENT_TIME_SCALE=%d", scale),
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := LayOut(r.root, exe); err != nil {
		t.Fatal(err)
	}
	r.register()
	return r
}

// register registers an agent like config.sh: a POST and three files (2, 3).
func (r *rig) register() {
	key := testKey()
	var agent struct {
		ID            int `json:"id"`
		Authorization struct {
			ClientID         string `json:"clientId"`
			AuthorizationURL string `json:"authorizationUrl"`
		} `json:"authorization"`
	}
	r.admin(http.MethodPost, "/_apis/distributedtask/pools/1/agents?api-version=7.1", map[string]any{
		"name": "fake-agent", "version": "4.1.1", "osDescription": "test", "maxParallelism": 1,
		"authorization": map[string]any{"publicKey": map[string]any{"exponent": "AQAB", "modulus": key.N.Bytes()}},
	}, &agent)
	r.agentID = agent.ID
	r.write(".agent", map[string]any{
		"agentId": agent.ID, "agentName": "fake-agent", "poolId": 1, "serverUrl": r.url + "/", "workFolder": "_work",
	})
	r.write(".credentials", map[string]any{"scheme": "OAuth", "data": map[string]any{
		"clientId": agent.Authorization.ClientID, "authorizationUrl": agent.Authorization.AuthorizationURL,
	}})
	r.write(".credentials_rsaparams", rsaFile(key))
}

// write writes a file like .NET, with a byte order mark.
func (r *rig) write(name string, v any) {
	r.t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.root, name), append([]byte("\xef\xbb\xbf"), b...), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// amend changes fields of .agent.
func (r *rig) amend(members map[string]any) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.root, ".agent"))
	if err != nil {
		r.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(withoutBOM(b), &v); err != nil {
		r.t.Fatal(err)
	}
	maps.Copy(v, members)
	r.write(".agent", v)
}

// admin makes a call as the pool's administrator.
func (r *rig) admin(method, path string, body, answer any) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.ctx, method, r.url+path, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+r.em.DefaultPAT)))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		r.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, got, err)
	}
	if answer != nil {
		if err := json.Unmarshal(got, answer); err != nil {
			r.t.Fatal(err)
		}
	}
}

// queue queues a script and returns its request id.
func (r *rig) queue(script string) emulator.Job {
	r.t.Helper()
	j, err := r.em.QueueJob(emulator.JobSpec{Name: "the job", Script: script})
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// await waits for an event of the type and returns it.
func (r *rig) await(kind string) emulator.Event { return r.awaitAfter(0, kind) }

func (r *rig) awaitAfter(seq uint64, kind string) emulator.Event {
	r.t.Helper()
	ev, err := r.em.WaitEvent(r.ctx, seq, func(ev emulator.Event) bool { return ev.Type == kind })
	if err != nil {
		r.t.Fatalf("waiting for %s: %v", kind, err)
	}
	return ev
}

// has says whether the journal has an event of the type.
func (r *rig) has(kind string) bool {
	events, err := r.em.Events(r.ctx, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, ev := range events {
		if ev.Type == kind {
			return true
		}
	}
	return false
}

func (r *rig) agent() emulator.AgentState {
	r.t.Helper()
	for _, a := range r.em.State().Pool("Default").Agents {
		if a.ID == r.agentID {
			return a
		}
	}
	r.t.Fatal("the agent is gone")
	return emulator.AgentState{}
}

// hold holds the first call to path, and returns functions that wait for it and release it.
func (r *rig) hold(path string) (reached, release func()) {
	r.t.Helper()
	id, err := r.em.AddHold(emulator.Hold{Path: path})
	if err != nil {
		r.t.Fatal(err)
	}
	reached = func() {
		r.t.Helper()
		if err := r.em.WaitHold(r.ctx, id); err != nil {
			r.t.Fatalf("waiting for a call to %s: %v", path, err)
		}
	}
	return reached, func() {
		if err := r.em.Release(id); err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) fault(f emulator.Fault) {
	r.t.Helper()
	if _, err := r.em.AddFault(f); err != nil {
		r.t.Fatal(err)
	}
}

// running is a running fake agent.
type running struct {
	r     *rig
	child *proc.Child
	out   string // file
	errs  string
}

// start starts bin/Agent.Listener run --startuptype service with more
// arguments.
func (r *rig) start(args ...string) *running {
	r.t.Helper()
	return r.startArgs(append([]string{"run", "--startuptype", "service"}, args...)...)
}

func (r *rig) startArgs(args ...string) *running {
	r.t.Helper()
	dir := r.t.TempDir()
	p := &running{r: r, out: filepath.Join(dir, "out"), errs: filepath.Join(dir, "err")}
	out, err := os.Create(p.out)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	errs, err := os.Create(p.errs)
	if err != nil {
		r.t.Fatal(err)
	}
	defer errs.Close()
	p.child, err = testProcs.Start(context.Background(), proc.Spec{
		Path: filepath.Join(r.root, "bin", "Agent.Listener"), Args: args, Env: r.env, Dir: r.root, Stdout: out, Stderr: errs,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		p.child.KillTree(context.Background()) // and all processes that it left
		<-p.child.Done()
		if stderr := p.stderr(); strings.Contains(stderr, "DATA RACE") {
			r.t.Error(stderr)
		}
		if r.t.Failed() {
			r.t.Logf("stdout:\n%s\nstderr:\n%s", p.stdout(), p.stderr())
			logs, _ := filepath.Glob(filepath.Join(r.root, "_diag", "*.log"))
			for _, name := range logs {
				b, _ := os.ReadFile(name)
				r.t.Logf("%s:\n%s", filepath.Base(name), b)
			}
		}
	})
	return p
}

func (p *running) signal(sig syscall.Signal) {
	p.r.t.Helper()
	if err := p.child.Signal(sig); err != nil {
		p.r.t.Fatal(err)
	}
}

// ended waits for the agent's exit.
func (p *running) ended() proc.Status {
	p.r.t.Helper()
	select {
	case <-p.child.Done():
		return p.child.Status()
	case <-p.r.ctx.Done():
		p.r.t.Fatal("the fake agent does not end")
		return proc.Status{}
	}
}

func (p *running) mustEnd(code int) {
	p.r.t.Helper()
	if s := p.ended(); s != (proc.Status{Code: code}) {
		p.r.t.Fatalf("ended with %v, not exit code %d", s, code)
	}
}

func (p *running) stdout() string { b, _ := os.ReadFile(p.out); return string(b) }
func (p *running) stderr() string { b, _ := os.ReadFile(p.errs); return string(b) }

// eventually calls look until it returns true. It is for changes without an event, such as a file
// that another process renames.
func (r *rig) eventually(what string, look func() bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.t.Fatalf("waiting for %s", what)
		}
	}
}

// testKey is one key for all tests, because it takes long to generate one.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// rsaFile is the content of .credentials_rsaparams (3.3).
func rsaFile(key *rsa.PrivateKey) map[string]any {
	n := (key.N.BitLen() + 7) / 8
	fixed := func(v *big.Int, size int) []byte { return v.FillBytes(make([]byte, size)) }
	half := (n + 1) / 2
	return map[string]any{
		"ContainerName": "", "UseCng": false,
		"modulus": fixed(key.N, n), "d": fixed(key.D, n), "exponent": big.NewInt(int64(key.E)).Bytes(),
		"p": fixed(key.Primes[0], half), "q": fixed(key.Primes[1], half),
		"dp": fixed(key.Precomputed.Dp, half), "dq": fixed(key.Precomputed.Dq, half), "inverseQ": fixed(key.Precomputed.Qinv, half),
	}
}
