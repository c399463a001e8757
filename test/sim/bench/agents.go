package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// agentsRun is one `azptend run --agents N`.
type agentsRun struct {
	Agents            int
	Root              sample // time to make each root
	Ready             sample // time until each agent is ready, from azptend's start
	All               time.Duration
	Resident, Private float64 // of azptend, in MB, when all are ready
	Drain             time.Duration
}

// Each is how much anonymous memory azptend needs for each agent more than in the run with
// one agent.
func (r agentsRun) Each(one agentsRun) string {
	if r.Agents == one.Agents {
		return ""
	}
	return fmt.Sprintf("%.2f MB", (r.Private-one.Private)/float64(r.Agents-one.Agents))
}

// agentsTimeout limits a whole run.
const agentsTimeout = 5 * time.Minute

// measureAgents runs one, ten and fifty agents from one installation.
func measureAgents(programs launch.Programs, delay time.Duration) (string, error) {
	var runs []agentsRun
	for _, n := range []int{1, 10, 50} {
		fmt.Fprintf(os.Stderr, "%d agents\n", n)
		run, err := agentsOnce(programs, delay, n)
		if err != nil {
			return "", err
		}
		runs = append(runs, run)
	}
	var b strings.Builder
	err := agentsPage.Execute(&b, map[string]any{"Runs": runs, "One": runs[0], "Delay": delay, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly)})
	return b.String(), err
}

func agentsOnce(programs launch.Programs, delay time.Duration, n int) (agentsRun, error) {
	run := agentsRun{Agents: n, Root: sample{Unit: "ms"}, Ready: sample{Unit: "ms"}}
	l, err := prepare(programs, delay, agentsTimeout)
	if err != nil {
		return run, err
	}
	defer l.end()
	begun := time.Now()
	if err := l.start(programs, fmt.Sprint("--agents=", n), "--agent-root="+filepath.Join(l.dir, "roots")); err != nil {
		return run, err
	}
	// An agent that polls for messages is idle.
	_, err = l.emulator.WaitState(l.ctx, func(s emulator.State) bool {
		polling := 0
		for _, a := range s.Pools[0].Agents {
			if a.Session != nil && a.Session.Polling {
				polling++
			}
		}
		return polling == n
	})
	run.All = time.Since(begun)
	run.Resident, run.Private = memoryOf(l.azptend.Process.Pid, "VmRSS:"), memoryOf(l.azptend.Process.Pid, "RssAnon:")
	asked := time.Now()
	_ = l.azptend.Process.Signal(syscall.SIGTERM)
	if ended := l.azptend.Wait(); err == nil {
		err = ended
	}
	run.Drain = time.Since(asked)
	if left := len(l.emulator.State().Pools[0].Agents); err == nil && left > 0 {
		err = fmt.Errorf("%d agents stay", left)
	}
	if err != nil {
		return run, fmt.Errorf("azptend run with %d agents: %w\n%s", n, err, &l.log)
	}
	return run, run.read(l.log.Bytes())
}

// read reads the times of roots and agents from azptend's log.
func (r *agentsRun) read(log []byte) error {
	for line := range bytes.Lines(log) {
		var l struct {
			Msg   string  `json:"msg"`
			Ms    float64 `json:"ms"`
			Total float64 `json:"total_ms"`
		}
		if json.Unmarshal(line, &l) != nil {
			continue
		}
		switch l.Msg {
		case "Made the agent's root":
			r.Root.add(l.Ms)
		case "The agent is ready":
			r.Ready.add(l.Total)
		}
	}
	if len(r.Root.values) != r.Agents || len(r.Ready.values) != r.Agents {
		return fmt.Errorf("of %d agents %d say that their root was made, and %d that they are ready", r.Agents, len(r.Root.values), len(r.Ready.values))
	}
	return nil
}

// memoryOf returns a line of a process's status in megabytes, or 0.
func memoryOf(pid int, name string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, found := strings.Cut(string(status), name)
	var kb float64
	if err != nil || !found {
		return 0
	}
	if _, err := fmt.Sscanf(after, "%f kB", &kb); err != nil {
		return 0
	}
	return kb * 1024 / 1e6
}

var agentsPage = template.Must(template.New("").Parse(`## Several agents on one machine

Written by ` + "`make bench-agents`" + ` on {{.Date}}; do not edit. ` + "`azptend run --agents N`" + ` from one installation, of
azptend's fake agent. Each call to the emulated server is delayed by {{.Delay}}.

| agents | creating a root (median, worst) | an agent is ready after (median, worst) | all are idle after | azptend's memory: resident, anonymous | for each additional agent | SIGTERM to all removed and exited |
|---|---|---|---|---|---|---|
{{$one := .One}}{{range .Runs}}| {{.Agents}} | {{.Root.Median}}, {{.Root.Worst}} | {{.Ready.Median}}, {{.Ready.Worst}} | {{printf "%.1f" .All.Seconds}} s | {{printf "%.1f" .Resident}} MB, {{printf "%.1f" .Private}} MB | {{.Each $one}} | {{printf "%.1f" .Drain.Seconds}} s |
{{end}}
The machine: {{.Machine}}.

How it was measured: the times of roots and agents are those of azptend's log lines "Made the agent's root" and "The agent
is ready", from the first line of main, including all roots. An agent is idle at its first poll in the emulator's journal.
The fake agent is small: Microsoft's package takes longer to copy and to start, and its listener needs more memory.
`))
