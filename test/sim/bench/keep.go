package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// polls is how many polls of a keeper are measured.
const polls = 8

// keepRun is one `azptend keep` of a pool, which changes nothing.
type keepRun struct {
	Agents    int
	Calls     int // of all polls, without the identity endpoint's and the look-up of the pool
	Polls     int
	CPU       time.Duration // azptend's, of the whole run
	Megabytes float64
	End       time.Duration // from SIGTERM to its exit
}

// PerPoll, PerHour, CPUPerPoll and Ended format values for the page.
func (r keepRun) PerPoll() string { return fmt.Sprintf("%.1f", float64(r.Calls)/float64(r.Polls)) }
func (r keepRun) PerHour() string { return fmt.Sprintf("%.0f", 120*float64(r.Calls)/float64(r.Polls)) }
func (r keepRun) CPUPerPoll() string {
	return fmt.Sprintf("%d ms", r.CPU.Milliseconds()/int64(r.Polls))
}
func (r keepRun) Ended() string { return fmt.Sprintf("%d ms", r.End.Milliseconds()) }

// measureKeep runs a keeper of pools of three sizes.
func measureKeep(binary string, delay time.Duration) (string, error) {
	var runs []keepRun
	for _, agents := range []int{100, 1000, 10000} {
		fmt.Fprintf(os.Stderr, "azptend keep of %d agents\n", agents)
		run, err := keepOnce(binary, delay, agents)
		if err != nil {
			return "", err
		}
		runs = append(runs, run)
	}
	var b strings.Builder
	err := keepPage.Execute(&b, map[string]any{"Runs": runs, "Delay": delay, "Machine": process.Machine(), "Date": time.Now().UTC().Format(time.DateOnly)})
	return b.String(), err
}

func keepOnce(binary string, delay time.Duration, agents int) (keepRun, error) {
	run := keepRun{Agents: agents}
	e, server, err := newDistantPool(delay, agents)
	if err != nil {
		return run, err
	}
	defer server.Close()
	defer e.Close()
	azptend := exec.Command(binary, "keep", "--interval", "5s", "--prune=false", "--keep-placeholder=false", "--listen", "127.0.0.1:0")
	azptend.Env = []string{"HOME=" + os.TempDir()}
	for _, v := range e.Environment(server.URL) {
		azptend.Env = append(azptend.Env, v.Name+"="+v.Value)
	}
	a, err := process.Start(azptend)
	if err != nil {
		return run, err
	}
	most := a.WatchMemory()
	begun := time.Now()
	for run.Polls = 0; run.Polls < polls; {
		time.Sleep(100 * time.Millisecond)
		run.Polls, run.Calls = countPolls(e.Calls())
		if time.Since(begun) > 10*time.Minute {
			a.Kill()
			return run, fmt.Errorf("azptend keep has polled only %d times:\n%s", run.Polls, a.Output())
		}
	}
	begun = time.Now()
	_ = a.Signal(syscall.SIGTERM)
	<-a.Done()
	if a.Code() != 0 {
		return run, fmt.Errorf("azptend keep: exit code %d\n%s", a.Code(), a.Output())
	}
	run.End, run.Megabytes = a.Ended().Sub(begun), float64(most())/1e6
	run.CPU = azptend.ProcessState.UserTime() + azptend.ProcessState.SystemTime()
	return run, nil
}

// countPolls counts finished polls, by the list of agents with which each ends, and their
// calls.
func countPolls(calls []emulator.Call) (polls, poolCalls int) {
	for _, c := range calls {
		if c.Status == 0 || !strings.Contains(c.Path, "/pools/") {
			continue
		}
		poolCalls++
		if strings.HasSuffix(c.Path, "/agents") {
			polls++
		}
	}
	return polls, poolCalls
}

var keepPage = template.Must(template.New("").Parse(`## A keeper

Written by ` + "`make bench-keep`" + ` on {{.Date}}; do not edit. The same pools, which ` + "`azptend keep`" + ` polls
eight times without a change. Each call is delayed by {{.Delay}}.

| agents | calls per poll | calls per hour, polling every 30 s | azptend's CPU time per poll | largest memory | SIGTERM to exit |
|---|---|---|---|---|---|
{{range .Runs}}| {{.Agents}} | {{.PerPoll}} | {{.PerHour}} | {{.CPUPerPoll}} | {{printf "%.1f" .Megabytes}} MB | {{.Ended}} |
{{end}}
The machine: {{.Machine}}.

How it was measured: calls are those to a pool in the emulator's journal. The CPU time is that of the whole process,
including its start, divided by its polls. Memory is VmHWM. After a poll of more than 3 s the keeper pauses ten times as
long, so the calls per hour only decrease ("TestCallsOfAnHour" in internal/keep tests it with a fake clock).
`))
