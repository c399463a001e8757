package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

// runKind is a kind of run in the simulation, and how a real azptend is made to run so.
type runKind struct {
	Name   string
	Model  runCalls
	Agents int // of one azptend
	args   []string
	jobs   int
	signal bool // it gets SIGTERM; otherwise it exits by itself
}

func runKinds() []runKind {
	return []runKind{
		{Name: "`--once`, one job", Model: onceRun, Agents: 1, args: []string{"--once"}, jobs: 1},
		{Name: "`--once`, no job within the idle timeout", Model: idleRun, Agents: 1, args: []string{"--once", "--idle-timeout", "2s"}},
		{Name: "without `--once`, three jobs, then SIGTERM", Model: longLivedRun, Agents: 1, jobs: 3, signal: true},
		{Name: "`--agents 3`, three jobs, then SIGTERM", Model: longLivedRun, Agents: 3, args: []string{"--agents", "3"}, jobs: 3, signal: true},
	}
}

// modelled returns the calls in the simulation. The agents of one azptend share no calls.
func (k runKind) modelled() tally {
	t := tally{}
	for c, n := range k.Model.total() {
		t[c] = n * k.Agents
	}
	return t
}

// measured counts the calls of a real azptend and its fake agent, from the emulator's
// journal.
type measured struct {
	Kind     runKind
	Azptend  tally // made with azptend's identity
	Listener tally // made by the fake agent with the agents' own identities and the jobs'
	Token    int   // requests to the identity endpoint, which the limit does not count
}

// runTimeout limits a run. Only a run that fails reaches it.
const runTimeout = 2 * time.Minute

// measureRun runs a real azptend and counts its calls.
func measureRun(programs launch.Programs, k runKind, path string) (measured, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return measured{}, err
	}
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Close()
	dir, err := os.MkdirTemp("", "azptend-scale-*")
	if err != nil {
		return measured{}, err
	}
	defer os.RemoveAll(dir)
	if err := programs.LayOut(dir); err != nil {
		return measured{}, err
	}
	for range k.jobs {
		if _, err := e.QueueJob(emulator.JobSpec{Script: "echo a job", Force: true}); err != nil {
			return measured{}, err
		}
	}
	env := []string{"AZP_AGENT_NAME=scale"}
	if k.Agents > 1 {
		roots, err := os.MkdirTemp("", "azptend-scale-roots-*")
		if err != nil {
			return measured{}, err
		}
		defer os.RemoveAll(roots)
		env = append(env, "AZP_AGENT_ROOT="+roots)
	}
	azptend := launch.Command(launch.Place{Binary: programs.Azptend, Dir: dir, Path: path}, e, server.URL, env, k.args...)
	var said bytes.Buffer
	azptend.Stderr = &said
	hold, err := e.AddHold(emulator.Hold{Method: http.MethodPatch, Path: "/agents/"})
	if err != nil {
		return measured{}, err
	}
	if err := azptend.Start(); err != nil {
		return measured{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = azptend.Process.Kill() })
	defer stop()
	// azptend checks an agent's owner tags in parallel. The run must not end before that.
	before := allChecked
	if k.signal {
		before = allIdle
	}
	if err := before(ctx, e, k); err != nil {
		_ = azptend.Process.Kill()
		_ = azptend.Wait()
		return measured{}, fmt.Errorf("%s: %w; azptend says:\n%s", k.Name, err, &said)
	}
	if err := e.Release(hold); err != nil {
		return measured{}, err
	}
	if k.signal {
		_ = azptend.Process.Signal(syscall.SIGTERM)
	}
	if err := azptend.Wait(); err != nil {
		return measured{}, fmt.Errorf("%s: azptend: %w\n%s", k.Name, err, &said)
	}
	return count(k, e.Calls()), nil
}

// allIdle waits until all jobs are over, every agent polls, and its owner tags were
// checked. azptend knows that it is idle only after its listener has said so; a SIGTERM
// before that leads to other calls.
func allIdle(ctx context.Context, e *emulator.Emulator, k runKind) error {
	_, err := e.WaitState(ctx, func(s emulator.State) bool {
		over := 0
		for _, j := range s.Jobs {
			if j.Result != "" {
				over++
			}
		}
		polling := 0
		for _, a := range s.Pools[0].Agents {
			if a.Session != nil && a.Session.Polling {
				polling++
			}
		}
		return over == k.jobs && polling == k.Agents && count(k, e.Calls()).Azptend[getAgent] >= k.Agents
	})
	return err
}

// allChecked waits until every agent's owner tags were checked.
func allChecked(ctx context.Context, e *emulator.Emulator, k runKind) error {
	_, err := e.WaitState(ctx, func(emulator.State) bool { return count(k, e.Calls()).Azptend[getAgent] >= k.Agents })
	return err
}

// count counts the journal's records by kind.
func count(k runKind, calls []emulator.Call) measured {
	l := measured{Kind: k, Azptend: tally{}, Listener: tally{}}
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.Path, "/msi/"):
			l.Token++
		case strings.HasPrefix(c.Who, "identity:"):
			l.Azptend[kindOf(c)]++
		case strings.HasPrefix(c.Who, "agent:"), strings.HasPrefix(c.Who, "job:"):
			l.Listener[kindOf(c)]++
		}
	}
	return l
}

// kinds maps records to kinds of calls. The first match counts.
var kinds = []struct {
	kind   call
	method string
	path   *regexp.Regexp
}{
	{postToken, "POST", regexp.MustCompile(`/oauth2/token/`)},
	{getPools, "GET", regexp.MustCompile(`/pools$`)},
	{postAgent, "POST", regexp.MustCompile(`/agents$`)},
	{getAgents, "GET", regexp.MustCompile(`/agents$`)},
	{getAgent, "GET", regexp.MustCompile(`/agents/\d+$`)},
	{patchAgent, "PATCH", regexp.MustCompile(`/agents/\d+$`)},
	{deleteAgent, "DELETE", regexp.MustCompile(`/agents/\d+$`)},
	{getRequests, "GET", regexp.MustCompile(`/jobrequests$`)},
	{renewJob, "PATCH", regexp.MustCompile(`/jobrequests/\d+$`)},
	{postSession, "POST", regexp.MustCompile(`/sessions$`)},
	{endSession, "DELETE", regexp.MustCompile(`/sessions/`)},
	{getMessages, "GET", regexp.MustCompile(`/messages$`)},
	{endMessage, "DELETE", regexp.MustCompile(`/messages/`)},
	{reportRecord, "PATCH", regexp.MustCompile(`/records$`)},
	{reportFeed, "POST", regexp.MustCompile(`/feed$`)},
	{reportLog, "POST", regexp.MustCompile(`/logs(/\d+)?$`)},
	{reportEnd, "POST", regexp.MustCompile(`/events$`)},
}

// kindOf returns a record's kind. A call that the simulation does not know gets its own
// kind, and so differs from every model.
func kindOf(c emulator.Call) call {
	for _, k := range kinds {
		if k.method == c.Method && k.path.MatchString(c.Path) {
			return k.kind
		}
	}
	return call(c.Method + " " + c.Path)
}

// measureRuns measures each kind of run, and fails if the simulation has other calls.
func measureRuns(programs launch.Programs, path string) ([]measured, error) {
	var all []measured
	for _, k := range runKinds() {
		l, err := measureRun(programs, k, path)
		if err != nil {
			return nil, err
		}
		if why := l.Azptend.differs(k.modelled()); why != "" {
			return nil, fmt.Errorf("%s: a real azptend and the simulation differ in %s", k.Name, why)
		}
		all = append(all, l)
	}
	return all, nil
}
