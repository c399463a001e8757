package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// poolRun is one `azptend prune` of a pool.
type poolRun struct {
	Agents, Ghosts int
	What           string // the command
	Calls          int    // in the emulator's journal
	Megabytes      float64
	Took           time.Duration
}

// Time formats Took for the page.
func (r poolRun) Time() string { return fmt.Sprintf("%.1f s", r.Took.Seconds()) }

// measurePool prunes pools of three sizes. One agent in five is a ghost.
func measurePool(binary string, delay time.Duration) (string, error) {
	var runs []poolRun
	for _, agents := range []int{100, 1000, 10000} {
		for _, args := range [][]string{{"prune"}, {"prune", "--yes"}} {
			fmt.Fprintf(os.Stderr, "azptend %s of %d agents\n", strings.Join(args, " "), agents)
			run, err := pruneOnce(binary, delay, agents, args)
			if err != nil {
				return "", err
			}
			runs = append(runs, run)
		}
	}
	var b strings.Builder
	err := poolPage.Execute(&b, map[string]any{"Runs": runs, "Delay": delay, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly)})
	return b.String(), err
}

func pruneOnce(binary string, delay time.Duration, agents int, args []string) (poolRun, error) {
	run := poolRun{Agents: agents, What: strings.Join(args, " ")}
	e, server, err := newDistantPool(delay, agents)
	if err != nil {
		return run, err
	}
	defer server.Close()
	defer e.Close()
	azptend := exec.Command(binary, args...)
	azptend.Env = []string{"HOME=" + os.TempDir()}
	for _, v := range e.Environment(server.URL) {
		azptend.Env = append(azptend.Env, v.Name+"="+v.Value)
	}
	begun := time.Now()
	a, err := process.Start(azptend)
	if err != nil {
		return run, err
	}
	most := a.WatchMemory()
	<-a.Done()
	run.Took, run.Megabytes = a.Ended().Sub(begun), float64(most())/1e6
	if a.Code() != 0 {
		return run, fmt.Errorf("azptend %s: exit code %d\n%s", run.What, a.Code(), a.Output())
	}
	run.Calls = len(e.Calls())
	run.Ghosts = agents - len(e.State().Pools[0].Agents)
	if want := agents / 5; len(args) > 1 && run.Ghosts != want {
		return run, fmt.Errorf("%d of %d ghosts were removed:\n%s", run.Ghosts, want, a.Output())
	}
	return run, nil
}

// newDistantPool makes an emulator with a large pool. Each call is delayed.
func newDistantPool(delay time.Duration, agents int) (*emulator.Emulator, *httptest.Server, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, nil, err
	}
	if _, err := e.PutAgents(poolAgents(agents)...); err != nil {
		return nil, nil, err
	}
	if _, err := e.AddFault(emulator.Fault{Path: ".", Delay: delay}); err != nil {
		return nil, nil, err
	}
	return e, httptest.NewServer(e), nil
}

// poolAgents is a typical large pool. Of ten agents five are online, two of them busy; two
// are ghosts; one was not made by azptend, one has just been added, and one lost its
// network a moment ago. Each has 40 capabilities.
func poolAgents(n int) []emulator.AgentSpec {
	specs := make([]emulator.AgentSpec, n)
	for i := range specs {
		s := emulator.AgentSpec{
			Name: fmt.Sprintf("azp-agent-%05d", i), Version: "5.282.3", CreatedAgo: 26 * time.Hour, ChangedAgo: 3 * time.Hour,
			UserCapabilities:   map[string]string{"azptend.kind": "agent", "azptend.instance": fmt.Sprint("instance ", i), "azptend.host": fmt.Sprintf("vm-%d:/azp", i)},
			SystemCapabilities: map[string]string{},
		}
		for c := range 40 {
			s.SystemCapabilities[fmt.Sprintf("CAPABILITY_%d", c)] = fmt.Sprintf("/usr/local/lib/some/tool-%d/bin:agent %d", c, i)
		}
		switch i % 10 {
		case 0, 1, 2:
			s.Online = true
		case 3, 4:
			s.Online, s.Job = true, &emulator.JobSpec{Name: "build"}
		case 5:
			s.UserCapabilities = nil
		case 6:
			s.CreatedAgo, s.ChangedAgo = time.Minute, time.Minute
		case 7:
			s.ChangedAgo = time.Minute
		}
		specs[i] = s
	}
	return specs
}

var poolPage = template.Must(template.New("").Parse(`## A large pool

Written by ` + "`make bench-pool`" + ` on {{.Date}}; do not edit. In the emulator's pools half of the agents are
online and a fifth are ghosts. Each agent has 40 capabilities, and each call is delayed by {{.Delay}}.

| agents | command | ghosts removed | time | calls | largest memory |
|---|---|---|---|---|---|
{{range .Runs}}| {{.Agents}} | ` + "`azptend {{.What}}`" + ` | {{.Ghosts}} | {{.Time}} | {{.Calls}} | {{printf "%.1f" .Megabytes}} MB |
{{end}}
The machine: {{.Machine}}.

How it was measured: calls are all requests in the emulator's journal, including the identity endpoint. Memory is the
process's largest resident size (VmHWM). The time is that of the whole command. One call lists the pool,
because the server has no pages for it: azptend reads the answer as a stream and never holds it. Each ghost costs two
calls, four ghosts at a time. The server's Retry-After adds to that, but the emulator does not throttle here.
`))
