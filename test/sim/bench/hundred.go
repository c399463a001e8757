package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// hundred is how many agents start at once, all by one managed identity.
const hundred = 100

// crowd is what a hundred starts at once were like, where a call costs so much.
type crowd struct {
	Cost                float64
	Calls               int // of the managed identity, until all were ready
	Delayed, Refused    int
	Delay, Worst        time.Duration // by the server, in all and of one call
	Busiest             int           // most calls within one second, once the first rush is over
	Half, All           time.Duration // from the first start until so many were ready
	GaveUp, Left, Clean int           // ended before they were ready; in the pool at the end; exit codes 0
}

// firstRush is how long after the first refusal calls are still first tries.
const firstRush = 10 * time.Second

// throttling measures, and writes the part of the page.
func throttling(programs launch.Programs, out string) error {
	var crowds []crowd
	for _, cost := range []float64{0.1, 1, 3} {
		fmt.Fprintf(os.Stderr, "a hundred agents, a call costs %g TSTU\n", cost)
		c, err := start(programs, cost)
		if err != nil {
			return err
		}
		crowds = append(crowds, c)
	}
	var b strings.Builder
	err := part.Execute(&b, map[string]any{"Crowds": crowds, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly)})
	if err != nil {
		return err
	}
	return launch.FillIn(out, "throttling", b.String())
}

// rig is one emulator with a hundred azptends.
type rig struct {
	emulator *emulator.Emulator
	dir      string
	env      []string
	agents   []*exec.Cmd
	ended    chan error
}

// start starts a hundred agents, waits until all are ready, and ends them.
func start(programs launch.Programs, cost float64) (crowd, error) {
	e, err := emulator.New(emulator.Options{RateLimit: emulator.RateLimit{Budget: 200, Cost: cost}})
	if err != nil {
		return crowd{}, err
	}
	server := httptest.NewServer(e)
	defer func() { e.Close(); server.Close() }()
	r := &rig{emulator: e, ended: make(chan error, hundred), env: []string{"PATH=" + launch.Path(), "AZP_PLATFORM=none", "AZP_GRACE_PERIOD=120"}}
	for _, v := range e.Environment(server.URL) {
		r.env = append(r.env, v.Name+"="+v.Value)
	}
	if r.dir, err = os.MkdirTemp("", "azptend-bench-*"); err != nil {
		return crowd{}, err
	}
	defer os.RemoveAll(r.dir)
	for n := range hundred {
		if err := r.layOut(n, programs); err != nil {
			return crowd{}, err
		}
	}
	begun := time.Now()
	for n := range hundred {
		if err := r.run(n, programs.Azptend); err != nil {
			return crowd{}, err
		}
	}
	c := crowd{Cost: cost}
	err = c.watch(r, begun)
	c.count(e.Calls())
	return c, errors.Join(err, c.end(r))
}

// layOut makes an agent's folder. All share the programs, as an image's layer does.
func (r *rig) layOut(n int, programs launch.Programs) error {
	first, dir := r.folder(0), r.folder(n)
	if n == 0 {
		return programs.LayOut(dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	files, err := os.ReadDir(filepath.Join(first, "bin"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Link(filepath.Join(first, "bin", f.Name()), filepath.Join(dir, "bin", f.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) folder(n int) string { return filepath.Join(r.dir, fmt.Sprintf("agent-%d", n)) }

func (r *rig) run(n int, binary string) error {
	log, err := os.Create(r.folder(n) + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(binary, "run")
	cmd.Env = append(slices.Clone(r.env), "HOME="+r.folder(n), "AZP_AGENT_DIR="+r.folder(n), fmt.Sprintf("AZP_AGENT_NAME=agent-%d", n))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	r.agents = append(r.agents, cmd)
	go func() { r.ended <- cmd.Wait() }()
	return nil
}

// watch waits until every agent is ready, or has given up.
func (c *crowd) watch(r *rig, begun time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	var seen uint64
	for ready := 0; ready+c.GaveUp < hundred; {
		select {
		case <-r.ended:
			c.GaveUp++
			continue
		default:
		}
		look, done := context.WithTimeout(ctx, time.Second)
		event, err := r.emulator.WaitEvent(look, seen, func(e emulator.Event) bool { return e.Type == emulator.EventSessionCreated })
		done()
		switch {
		case err == nil:
			seen = event.Seq
			ready++
			c.All = event.Time.Sub(begun)
			if ready == hundred/2 {
				c.Half = c.All
			}
		case ctx.Err() != nil:
			return fmt.Errorf("%d of %d agents are ready after 20 minutes", ready, hundred)
		}
	}
	return nil
}

// count takes from the emulator's records what the managed identity asked.
func (c *crowd) count(calls []emulator.Call) {
	var refused time.Time
	var after []time.Time
	for _, call := range calls {
		if !strings.HasPrefix(call.Who, "identity:") || strings.HasPrefix(call.Path, "/msi/") || !call.Done {
			continue
		}
		c.Calls++
		if refused.IsZero() && call.Status == 429 {
			refused = call.Time
		}
		if !refused.IsZero() && call.Time.Sub(refused) > firstRush {
			after = append(after, call.Time)
		}
		switch {
		case call.Status == 429:
			c.Refused++
		case call.Held > 0:
			c.Delayed++
			c.Delay += call.Held
			c.Worst = max(c.Worst, call.Held)
		}
	}
	for i, from := range after {
		n := i
		for n < len(after) && after[n].Sub(from) < time.Second {
			n++
		}
		c.Busiest = max(c.Busiest, n-i)
	}
}

// end asks all to leave, with nothing in their way: that nothing stays is what the
// measure is worth.
func (c *crowd) end(r *rig) error {
	if err := r.emulator.SetRateLimit(emulator.RateLimit{}); err != nil {
		return err
	}
	for _, cmd := range r.agents {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one that has given up is gone
	}
	for range hundred - c.GaveUp {
		if err := <-r.ended; err == nil {
			c.Clean++
		}
	}
	c.Left = len(r.emulator.State().Pools[0].Agents)
	if c.Left > 0 || c.Clean+c.GaveUp < hundred {
		return fmt.Errorf("%d agents stay, and %d ended well", c.Left, c.Clean)
	}
	return nil
}

// Rounded is a time for the page.
func (c crowd) Rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

var part = template.Must(template.New("").Parse(`
Written by ` + "`make bench-hundred`" + ` on {{.Date}}; do not edit. A hundred agents are started at the same moment by one managed identity,
against the emulator's rate limit at real speed: 200 TSTU within five minutes. Above it answers are delayed by up to 30 s, and from twice the limit on refused with 429.
The cost of a call is not published, so there are three assumptions. A typical user reportedly uses 1 TSTU in five minutes, so the first is the most likely.

| a call costs | azptend's calls | delayed | total delay, longest | refused | most retries within one second | half are ready after | all are ready after | gave up | stayed in the pool |
|---|---|---|---|---|---|---|---|---|---|
{{range .Crowds}}| {{.Cost}} TSTU | {{.Calls}} | {{.Delayed}} | {{.Rounded .Delay}}, at most {{.Rounded .Worst}} | {{.Refused}} | {{if .Refused}}{{.Busiest}}{{end}} | {{.Rounded .Half}} | {{.Rounded .All}} | {{.GaveUp}} | {{.Left}} |
{{end}}
An agent makes three calls until it is ready. The third checks its owner tags when it already listens. The listener's calls use the agent's own identity and its limit.
At 3 TSTU the limit refuses more than 134 calls in five minutes, and a hundred agents need two hundred calls to listen. So they need more than one window.
The machine: {{.Machine}}; the hundred share it, with the emulator.
`))
