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

// scale shrinks the slow times of the protocol, not of azptend.
const scale = 20

// row is a row of docs/assumptions.md: id, what is assumed, what azptend does
// otherwise, and the switch.
var row = regexp.MustCompile("(?m)^\\| ([a-z0-9-]+) \\| ([^|]+) \\| ([^|]+) \\| `([A-Za-z0-9]+)` \\|$")

// TestAssumptionsAreWrittenDown holds docs/assumptions.md against the emulator's
// switches: each has one row, and each row has one.
func TestAssumptionsAreWrittenDown(t *testing.T) {
	b, err := os.ReadFile("../../../docs/assumptions.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	rows := row.FindAllStringSubmatch(text, -1)
	if all := strings.Count(text, "\n| ") - 1; all != len(rows) { // without the head
		t.Errorf("docs/assumptions.md has %d rows, and %d of them can be read", all, len(rows))
	}
	ids, told := map[string]bool{}, map[string]string{}
	for _, r := range rows {
		id, by := r[1], r[4]
		if ids[id] || told[by] != "" {
			t.Errorf("docs/assumptions.md has the id %s or the switch %s twice", id, by)
		}
		ids[id], told[by] = true, id
	}
	for _, name := range emulator.AssumptionNames() {
		if told[name] == "" {
			t.Errorf("docs/assumptions.md has no row for the switch %s", name)
		}
		delete(told, name)
	}
	for name, id := range told {
		t.Errorf("docs/assumptions.md's row %s names the switch %s, and the emulator has none", id, name)
	}
}

// TestEachAssumption lives the core of an agent's life with a server that differs
// from what azptend assumes, one assumption at a time: no job is lost, no agent
// stays, nothing is left running.
func TestEachAssumption(t *testing.T) {
	t.Parallel()
	flips := [][]string{{}} // as believed: the judge must be able to say yes
	for _, name := range emulator.AssumptionNames() {
		flips = append(flips, []string{name})
	}
	flips = append(flips, []string{"createDropsUserCapabilities", "noUserCapabilities"}) // no mark at all, ever
	slots := make(chan struct{}, 16)                                                     // most of a life is waiting, for up to 20 s
	var all sync.WaitGroup
	for _, flip := range flips {
		all.Go(func() { differing(t, flip).liveAll(slots) })
	}
	all.Wait()
}

// coreOfALife are the ways an agent lives that most depend on the server.
func coreOfALife() map[string]func(*assumedLife) {
	return map[string]func(*assumedLife){
		"once":   (*assumedLife).once,
		"idle":   (*assumedLife).idle,
		"busy":   (*assumedLife).busy,
		"killed": (*assumedLife).killed,
		"twin":   (*assumedLife).twin,
	}
}

// differing is a server that differs, with a pool for each life.
type different struct {
	t           *testing.T
	emulator    *emulator.Emulator
	url         string
	assumptions emulator.Assumptions
	name        string
}

func differing(t *testing.T, flip []string) *different {
	w := different{t: t, name: "the server is as expected"}
	if len(flip) > 0 {
		w.name = "otherwise: " + strings.Join(flip, ", ")
	}
	text := `{"` + strings.Join(flip, `":true,"`) + `":true}`
	if len(flip) == 0 {
		text = "{}"
	}
	if err := json.Unmarshal([]byte(text), &w.assumptions); err != nil {
		t.Fatal(err)
	}
	var pools []string
	for name := range coreOfALife() {
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

// liveAll lives all lives at once, each in its pool and, to begin with, in a slot.
func (w *different) liveAll(slots chan struct{}) {
	var lives sync.WaitGroup
	begin := func(name string, life func(*assumedLife)) {
		lives.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			w.live(name, life)
		})
	}
	for name, life := range coreOfALife() {
		if name != "idle" {
			begin(name, life)
		}
	}
	if w.assumptions.ExpiredTokenSignIn { // the clock that makes it expire is everybody's
		lives.Wait()
	}
	begin("idle", (*assumedLife).idle)
	lives.Wait()
}

// assumedLife is one life in its pool.
type assumedLife struct {
	*different
	ctx       context.Context
	pool, dir string
	seen      uint64
	actors    []*process.Actor
	failed    error
}

// live lives a life, and judges it by the emulator's records.
func (w *different) live(pool string, life func(*assumedLife)) {
	dir, err := os.MkdirTemp("", "azptend-assumption-*")
	if err != nil {
		w.t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	b := &assumedLife{different: w, ctx: ctx, pool: pool, dir: dir}
	defer os.RemoveAll(dir)
	defer process.KillAllIn(dir)
	if b.failed = programs.LayOut(filepath.Join(dir, "agent")); b.failed == nil {
		life(b)
	}
	for _, a := range b.actors {
		a.Kill()
	}
	if why := b.judge(); why != "" {
		said := ""
		for _, a := range b.actors {
			said += "\n" + a.Said()
		}
		w.t.Errorf("%s: %s: %s; azptend said:%s", w.name, pool, why, said)
	}
}

// judge is what must be true in the end, whatever the server is like.
func (b *assumedLife) judge() string {
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

// do is a step of the life, unless an earlier one has failed.
func (b *assumedLife) do(what string, step func() error) {
	if b.failed == nil {
		if err := step(); err != nil {
			b.failed = fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (b *assumedLife) start(args ...string) (a *process.Actor) {
	b.do("start", func() (err error) {
		cmd := exec.Command(programs.Azptend, append([]string{"run"}, args...)...)
		cmd.Dir = b.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		for _, v := range b.emulator.Environment(b.url) {
			cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
		}
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+b.dir, "AZP_POOL="+b.pool, "AZP_AGENT_DIR="+filepath.Join(b.dir, "agent"),
			"AZP_AGENT_NAME=assumed", "AZP_PLATFORM=none", "AZP_GRACE_PERIOD=1m", "AZPTEND_FAKEAGENT_TIME_SCALE="+fmt.Sprint(scale))
		if a, err = process.Act(cmd); err == nil {
			b.actors = append(b.actors, a)
		}
		return err
	})
	return a
}

// await waits for the next event of a type in this life's pool.
func (b *assumedLife) await(kind string) {
	b.do("await "+kind, func() error {
		e, err := b.emulator.WaitEvent(b.ctx, b.seen, func(e emulator.Event) bool { return e.Pool == b.pool && e.Type == kind })
		b.seen = e.Seq
		return err
	})
}

func (b *assumedLife) says(a *process.Actor, what string) {
	b.do("says "+what, func() error { return a.Says(b.ctx, regexp.MustCompile(regexp.QuoteMeta(what))) })
}

func (b *assumedLife) queue(script string) {
	b.do("queue", func() error {
		_, err := b.emulator.QueueJob(emulator.JobSpec{Pool: b.pool, Script: script, Force: true})
		return err
	})
}

func (b *assumedLife) signal(a *process.Actor, s syscall.Signal) {
	b.do("signal", func() error { return a.Signal(s) })
}

func (b *assumedLife) ends(a *process.Actor, code int) {
	b.do("ends", func() error {
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

const untilSign = `while [ ! -e "$HOME/go-on" ]; do sleep 0.05; done; echo done`

func (b *assumedLife) sign() {
	b.do("sign", func() error { return os.WriteFile(filepath.Join(b.dir, "go-on"), nil, 0o600) })
}

func (b *assumedLife) once() {
	b.queue("echo once")
	b.ends(b.start("--once"), 0)
}

func (b *assumedLife) idle() {
	a := b.start()
	b.await(emulator.EventSessionCreated)
	if b.assumptions.ExpiredTokenSignIn {
		b.do("elapse", func() error { b.emulator.Elapse(25 * time.Hour); return nil })
	}
	b.signal(a, syscall.SIGTERM)
	b.ends(a, 0)
}

func (b *assumedLife) busy() {
	a := b.start()
	b.await(emulator.EventSessionCreated)
	b.queue(untilSign)
	b.await(emulator.EventJobStarted)
	b.signal(a, syscall.SIGTERM)
	b.says(a, "Received a signal")
	if b.assumptions.DisableActsLate { // and one that slips in
		b.await(emulator.EventAgentDisabled)
		b.queue("echo slipped in")
	}
	b.sign()
	b.ends(a, 0)
}

func (b *assumedLife) killed() {
	first := b.start()
	b.await(emulator.EventSessionCreated)
	b.queue(untilSign)
	b.await(emulator.EventJobStarted)
	b.signal(first, syscall.SIGKILL)
	b.ends(first, 137)
	second := b.start()
	b.says(second, "The listener of a previous run")
	b.sign()
	b.await(emulator.EventJobFinished)
	b.await(emulator.EventAgentAdded)
	b.await(emulator.EventSessionCreated)
	b.signal(second, syscall.SIGTERM)
	b.ends(second, 0)
}

func (b *assumedLife) twin() {
	b.do("add a twin", func() error {
		_, err := b.emulator.PutAgents(emulator.AgentSpec{Pool: b.pool, Name: "assumed", Version: "4.0.0"})
		return err
	})
	b.queue("echo in spite of a twin")
	b.ends(b.start("--once"), 0)
}
