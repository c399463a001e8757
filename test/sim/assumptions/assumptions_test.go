//go:build linux

package assumptions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// scale divides the protocol's long times. azptend's own times are not scaled.
const scale = 20

// row matches a row of docs/assumptions.md: id, assumption, what azptend does if it is
// wrong, and the emulator's switch.
var row = regexp.MustCompile("(?m)^\\| ([a-z0-9-]+) \\| ([^|]+) \\| ([^|]+) \\| `([A-Za-z0-9]+)` \\|$")

// TestAssumptionsAreWrittenDown checks that docs/assumptions.md has one row for each switch
// of the emulator.
func TestAssumptionsAreWrittenDown(t *testing.T) {
	b, err := os.ReadFile("../../../docs/assumptions.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	rows := row.FindAllStringSubmatch(text, -1)
	if all := strings.Count(text, "\n| ") - 1; all != len(rows) { // without the header
		t.Errorf("docs/assumptions.md has %d rows, and %d of them can be read", all, len(rows))
	}
	ids, switches := map[string]bool{}, map[string]string{}
	for _, r := range rows {
		id, name := r[1], r[4]
		if ids[id] || switches[name] != "" {
			t.Errorf("docs/assumptions.md has the id %s or the switch %s twice", id, name)
		}
		ids[id], switches[name] = true, id
	}
	for _, name := range emulator.AssumptionNames() {
		if switches[name] == "" {
			t.Errorf("docs/assumptions.md has no row for the switch %s", name)
		}
		delete(switches, name)
	}
	for name, id := range switches {
		t.Errorf("docs/assumptions.md's row %s names the switch %s, and the emulator has none", id, name)
	}
}

// TestEachAssumption runs agents with a server that differs from what azptend assumes, one
// assumption at a time: no job is lost, no agent stays, no process is left.
func TestEachAssumption(t *testing.T) {
	t.Parallel()
	cases := [][]string{{}} // as expected: the checks must be able to pass
	for _, name := range emulator.AssumptionNames() {
		cases = append(cases, []string{name})
	}
	cases = append(cases, []string{"createDropsUserCapabilities", "noUserCapabilities"}) // no owner tags at all
	slots := make(chan struct{}, 16)                                                     // a run mostly waits, for up to 20 s
	var all sync.WaitGroup
	for _, wrong := range cases {
		all.Go(func() { newServerCase(t, wrong).runAll(slots) })
	}
	all.Wait()
}

// scenarios are the runs that depend most on the server, by the name of their pool.
func scenarios() map[string]func(*agentRun) {
	return map[string]func(*agentRun){
		"once":   (*agentRun).once,
		"idle":   (*agentRun).idle,
		"busy":   (*agentRun).busy,
		"killed": (*agentRun).killed,
		"twin":   (*agentRun).twin,
	}
}

// serverCase is one server, with a pool for each scenario.
type serverCase struct {
	t           *testing.T
	emulator    *emulator.Emulator
	url         string
	assumptions emulator.Assumptions
	name        string
}

func newServerCase(t *testing.T, wrong []string) *serverCase {
	w := serverCase{t: t, name: "the server is as expected"}
	if len(wrong) > 0 {
		w.name = "otherwise: " + strings.Join(wrong, ", ")
	}
	text := `{"` + strings.Join(wrong, `":true,"`) + `":true}`
	if len(wrong) == 0 {
		text = "{}"
	}
	if err := json.Unmarshal([]byte(text), &w.assumptions); err != nil {
		t.Fatal(err)
	}
	var pools []string
	for name := range scenarios() {
		pools = append(pools, name)
	}
	e, err := emulator.New(emulator.Options{TimeScale: scale, Pools: pools, Assumptions: w.assumptions})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e)
	t.Cleanup(func() { e.Close(); server.Close() })
	w.emulator, w.url = e, server.URL
	return &w
}

// runAll runs all scenarios at once, each in its pool and in a slot.
func (w *serverCase) runAll(slots chan struct{}) {
	var runs sync.WaitGroup
	begin := func(name string, scenario func(*agentRun)) {
		runs.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			w.run(name, scenario)
		})
	}
	for name, scenario := range scenarios() {
		if name != "idle" {
			begin(name, scenario)
		}
	}
	if w.assumptions.ExpiredTokenSignIn { // the token expires by the emulator's clock, which all runs share
		runs.Wait()
	}
	begin("idle", (*agentRun).idle)
	runs.Wait()
}

// agentRun is one scenario in its pool.
type agentRun struct {
	*serverCase
	ctx       context.Context
	pool, dir string
	seen      uint64
	processes []*process.Process
	failed    error
}

// run runs a scenario, and judges it.
func (w *serverCase) run(pool string, scenario func(*agentRun)) {
	dir, err := os.MkdirTemp("", "azptend-assumption-*")
	if err != nil {
		w.t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	b := &agentRun{serverCase: w, ctx: ctx, pool: pool, dir: dir}
	defer os.RemoveAll(dir)
	defer process.KillAllIn(dir)
	if b.failed = programs.LayOut(filepath.Join(dir, "agent")); b.failed == nil {
		scenario(b)
	}
	for _, a := range b.processes {
		a.Kill()
	}
	if why := b.judge(); why != "" {
		said := ""
		for _, a := range b.processes {
			said += "\n" + a.Output()
		}
		w.t.Errorf("%s: %s: %s; azptend said:%s", w.name, pool, why, said)
	}
}

// judge returns what is wrong at the end, by the emulator's records and the agent's
// directory.
func (b *agentRun) judge() string {
	if b.failed != nil {
		return b.failed.Error()
	}
	var wrong []string
	for _, j := range b.emulator.State().Jobs {
		if j.Pool == b.pool && j.Result != "succeeded" && (j.Result != "" || j.State != emulator.JobQueued) {
			wrong = append(wrong, fmt.Sprintf("job %d is %s %s", j.RequestID, j.State, j.Result))
		}
	}
	for _, a := range b.emulator.State().Pool(b.pool).Agents {
		wrong = append(wrong, fmt.Sprintf("agent %d (%s) stayed", a.ID, a.Name))
	}
	if files, _ := filepath.Glob(filepath.Join(b.dir, "agent", ".credentials*")); len(files) > 0 {
		wrong = append(wrong, fmt.Sprintf("%v stayed", files))
	}
	return strings.Join(wrong, ", ")
}

// step runs a step of the scenario, unless an earlier one has failed.
func (b *agentRun) step(what string, do func() error) {
	if b.failed == nil {
		if err := do(); err != nil {
			b.failed = fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (b *agentRun) start(args ...string) (a *process.Process) {
	b.step("start", func() (err error) {
		cmd := exec.Command(programs.Azptend, append([]string{"run"}, args...)...)
		cmd.Dir = b.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		for _, v := range b.emulator.Environment(b.url) {
			cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
		}
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+b.dir, "AZP_POOL="+b.pool, "AZP_AGENT_DIR="+filepath.Join(b.dir, "agent"),
			"AZP_AGENT_NAME=assumed", "AZP_PLATFORM=none", "AZP_GRACE_PERIOD=1m", "AZPTEND_FAKEAGENT_TIME_SCALE="+fmt.Sprint(scale))
		if a, err = process.Start(cmd); err == nil {
			b.processes = append(b.processes, a)
		}
		return err
	})
	return a
}

// await waits for the next event of a type in this scenario's pool.
func (b *agentRun) await(kind string) {
	b.step("await "+kind, func() error {
		e, err := b.emulator.WaitEvent(b.ctx, b.seen, func(e emulator.Event) bool { return e.Pool == b.pool && e.Type == kind })
		b.seen = e.Seq
		return err
	})
}

func (b *agentRun) says(a *process.Process, what string) {
	b.step("says "+what, func() error { return a.Says(b.ctx, regexp.MustCompile(regexp.QuoteMeta(what))) })
}

func (b *agentRun) queue(script string) {
	b.step("queue", func() error {
		_, err := b.emulator.QueueJob(emulator.JobSpec{Pool: b.pool, Script: script, Force: true})
		return err
	})
}

func (b *agentRun) signal(a *process.Process, s syscall.Signal) {
	b.step("signal", func() error { return a.Signal(s) })
}

func (b *agentRun) ends(a *process.Process, code int) {
	b.step("ends", func() error {
		select {
		case <-a.Done():
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
		if got := a.Code(); got != code {
			return fmt.Errorf("with %d, want %d", got, code)
		}
		return nil
	})
}

const waitForFlag = `while [ ! -e "$HOME/go-on" ]; do sleep 0.05; done; echo done`

func (b *agentRun) createFlag() {
	b.step("create the flag", func() error { return os.WriteFile(filepath.Join(b.dir, "go-on"), nil, 0o600) })
}

func (b *agentRun) once() {
	b.queue("echo once")
	b.ends(b.start("--once"), 0)
}

func (b *agentRun) idle() {
	a := b.start()
	b.await(emulator.EventSessionCreated)
	if b.assumptions.ExpiredTokenSignIn {
		b.step("elapse", func() error { b.emulator.Elapse(25 * time.Hour); return nil })
	}
	b.signal(a, syscall.SIGTERM)
	b.ends(a, 0)
}

func (b *agentRun) busy() {
	a := b.start()
	b.await(emulator.EventSessionCreated)
	b.queue(waitForFlag)
	b.await(emulator.EventJobStarted)
	b.signal(a, syscall.SIGTERM)
	b.says(a, "Received a signal")
	if b.assumptions.DisableActsLate { // a job that is assigned after the disabling
		b.await(emulator.EventAgentDisabled)
		b.queue("echo slipped in")
	}
	b.createFlag()
	b.ends(a, 0)
}

func (b *agentRun) killed() {
	first := b.start()
	b.await(emulator.EventSessionCreated)
	b.queue(waitForFlag)
	b.await(emulator.EventJobStarted)
	b.signal(first, syscall.SIGKILL)
	b.ends(first, 137)
	second := b.start()
	b.says(second, "The listener of a previous run")
	b.createFlag()
	b.await(emulator.EventJobFinished)
	b.await(emulator.EventAgentAdded)
	b.await(emulator.EventSessionCreated)
	b.signal(second, syscall.SIGTERM)
	b.ends(second, 0)
}

func (b *agentRun) twin() {
	b.step("add a twin", func() error {
		_, err := b.emulator.PutAgents(emulator.AgentSpec{Pool: b.pool, Name: "assumed", Version: "4.0.0"})
		return err
	})
	b.queue("echo in spite of a twin")
	b.ends(b.start("--once"), 0)
}
