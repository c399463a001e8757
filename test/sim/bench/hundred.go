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

// hundred is how many agents start at once, all with one managed identity.
const hundred = 100

// hundredResult is the result of a hundred starts at once, with one cost of a call.
type hundredResult struct {
	Cost                float64
	Calls               int // made with the managed identity, until all agents were ready
	Delayed, Refused    int
	Delay, Worst        time.Duration // the server's delay in total, and the longest
	Busiest             int           // most calls within one second, after firstTries
	Half, All           time.Duration // from the first start until half and all of them were ready
	GaveUp, Left, Clean int           // agents that exited before they were ready, stayed in the pool, exited with 0
}

// firstTries is how long after the first refusal some calls are still first tries.
const firstTries = 10 * time.Second

// throttling measures the starts, and writes the page's part.
func throttling(programs launch.Programs, out string) error {
	var results []hundredResult
	for _, cost := range []float64{0.1, 1, 3} {
		fmt.Fprintf(os.Stderr, "a hundred agents, a call costs %g TSTU\n", cost)
		c, err := start(programs, cost)
		if err != nil {
			return err
		}
		results = append(results, c)
	}
	var b strings.Builder
	err := part.Execute(&b, map[string]any{"Results": results, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly)})
	if err != nil {
		return err
	}
	return launch.FillIn(out, "throttling", b.String())
}

// fleet is one emulator with a hundred azptends.
type fleet struct {
	emulator *emulator.Emulator
	dir      string
	env      []string
	agents   []*exec.Cmd
	ended    chan error
}

// start starts a hundred agents, waits until all are ready, and ends them.
func start(programs launch.Programs, cost float64) (hundredResult, error) {
	e, err := emulator.New(emulator.Options{RateLimit: emulator.RateLimit{Budget: 200, Cost: cost}})
	if err != nil {
		return hundredResult{}, err
	}
	server := httptest.NewServer(e)
	defer func() { e.Close(); server.Close() }()
	r := &fleet{emulator: e, ended: make(chan error, hundred), env: []string{"PATH=" + launch.Path(), "AZP_PLATFORM=none", "AZP_GRACE_PERIOD=120"}}
	for _, v := range e.Environment(server.URL) {
		r.env = append(r.env, v.Name+"="+v.Value)
	}
	if r.dir, err = os.MkdirTemp("", "azptend-bench-*"); err != nil {
		return hundredResult{}, err
	}
	defer os.RemoveAll(r.dir)
	for n := range hundred {
		if err := r.layOut(n, programs); err != nil {
			return hundredResult{}, err
		}
	}
	begun := time.Now()
	for n := range hundred {
		if err := r.run(n, programs.Azptend); err != nil {
			return hundredResult{}, err
		}
	}
	c := hundredResult{Cost: cost}
	err = c.watch(r, begun)
	c.count(e.Calls())
	return c, errors.Join(err, c.end(r))
}

// layOut makes an agent's folder. All agents share the programs by hard links, as
// containers share an image's layer.
func (r *fleet) layOut(n int, programs launch.Programs) error {
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

func (r *fleet) folder(n int) string { return filepath.Join(r.dir, fmt.Sprintf("agent-%d", n)) }

func (r *fleet) run(n int, binary string) error {
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

// watch waits until every agent is ready or has exited.
func (c *hundredResult) watch(r *fleet, begun time.Time) error {
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

// count counts the managed identity's calls in the emulator's records.
func (c *hundredResult) count(calls []emulator.Call) {
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
		if !refused.IsZero() && call.Time.Sub(refused) > firstTries {
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

// end removes the limit and stops all agents. The measurement is only valid if no agent
// stays.
func (c *hundredResult) end(r *fleet) error {
	if err := r.emulator.SetRateLimit(emulator.RateLimit{}); err != nil {
		return err
	}
	for _, cmd := range r.agents {
		_ = cmd.Process.Signal(syscall.SIGTERM) // some agents have exited already
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

// Rounded rounds a time for the page.
func (c hundredResult) Rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

var part = template.Must(template.New("").Parse(`
Written by ` + "`make bench-hundred`" + ` on {{.Date}}; do not edit. A hundred agents are started at the same moment by one managed identity,
against the emulator's rate limit at real speed: 200 TSTU within five minutes. Above it answers are delayed by up to 30 s, and from twice the limit on refused with 429.
The cost of a call is not published, so there are three assumptions. A typical user reportedly uses 1 TSTU in five minutes, so the first is the most likely.

| a call costs | azptend's calls | delayed | total delay, longest | refused | most retries within one second | half are ready after | all are ready after | gave up | stayed in the pool |
|---|---|---|---|---|---|---|---|---|---|
{{range .Results}}| {{.Cost}} TSTU | {{.Calls}} | {{.Delayed}} | {{.Rounded .Delay}}, at most {{.Rounded .Worst}} | {{.Refused}} | {{if .Refused}}{{.Busiest}}{{end}} | {{.Rounded .Half}} | {{.Rounded .All}} | {{.GaveUp}} | {{.Left}} |
{{end}}
An agent makes three calls until it is ready. The third checks its owner tags when it already listens. The listener's calls use the agent's own identity and its limit.
At 3 TSTU the limit refuses more than 134 calls in five minutes, and a hundred agents need two hundred calls to listen. So they need more than one window.
The machine: {{.Machine}}; the hundred share it, with the emulator.
`))
