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

// kindOfLife is a life of the simulation and how a real azptend is brought to live
// it.
type kindOfLife struct {
	Name   string
	Model  lifeCalls
	Agents int // below one azptend
	args   []string
	jobs   int
	signal bool // it is asked to end, else it ends by itself
}

func kindsOfLives() []kindOfLife {
	return []kindOfLife{
		{Name: "`--once`, one job", Model: onceLife, Agents: 1, args: []string{"--once"}, jobs: 1},
		{Name: "`--once`, no job within the idle timeout", Model: idleLife, Agents: 1, args: []string{"--once", "--idle-timeout", "2s"}},
		{Name: "without `--once`, three jobs, then SIGTERM", Model: residentLife, Agents: 1, jobs: 3, signal: true},
		{Name: "`--agents 3`, three jobs, then SIGTERM", Model: residentLife, Agents: 3, args: []string{"--agents", "3"}, jobs: 3, signal: true},
	}
}

// modelled is the life's calls as the simulation has them. Agents below one azptend
// share nothing that is asked of Azure DevOps.
func (k kindOfLife) modelled() tally {
	t := tally{}
	for c, n := range k.Model.total() {
		t[c] = n * k.Agents
	}
	return t
}

// lived is what a real azptend and its fake agent asked, by the emulator's journal.
type lived struct {
	Kind     kindOfLife
	Azptend  tally // by azptend's identity
	Listener tally // by the agents' own and the jobs', of the fake agent
	Token    int   // of the identity endpoint, which the limit does not count
}

// lifePatience bounds a life: only one that fails needs it.
const lifePatience = 2 * time.Minute

// live lives one life and counts.
func live(programs launch.Programs, k kindOfLife, path string) (lived, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return lived{}, err
	}
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Close()
	dir, err := os.MkdirTemp("", "azptend-scale-*")
	if err != nil {
		return lived{}, err
	}
	defer os.RemoveAll(dir)
	if err := programs.LayOut(dir); err != nil {
		return lived{}, err
	}
	for range k.jobs {
		if _, err := e.QueueJob(emulator.JobSpec{Script: "echo a job", Force: true}); err != nil {
			return lived{}, err
		}
	}
	env := []string{"AZP_AGENT_NAME=scale"}
	if k.Agents > 1 {
		roots, err := os.MkdirTemp("", "azptend-scale-roots-*")
		if err != nil {
			return lived{}, err
		}
		defer os.RemoveAll(roots)
		env = append(env, "AZP_AGENT_ROOT="+roots)
	}
	azptend := launch.Command(launch.Place{Binary: programs.Azptend, Dir: dir, Path: path}, e, server.URL, env, k.args...)
	var said bytes.Buffer
	azptend.Stderr = &said
	leaving, err := e.AddHold(emulator.Hold{Method: http.MethodPatch, Path: "/agents/"})
	if err != nil {
		return lived{}, err
	}
	if err := azptend.Start(); err != nil {
		return lived{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lifePatience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = azptend.Process.Kill() })
	defer stop()
	// An agent's mark is looked for beside its life, which is not to end before.
	before := marked
	if k.signal {
		before = atRest
	}
	if err := before(ctx, e, k); err != nil {
		_ = azptend.Process.Kill()
		_ = azptend.Wait()
		return lived{}, fmt.Errorf("%s: %w; azptend says:\n%s", k.Name, err, &said)
	}
	if err := e.Release(leaving); err != nil {
		return lived{}, err
	}
	if k.signal {
		_ = azptend.Process.Signal(syscall.SIGTERM)
	}
	if err := azptend.Wait(); err != nil {
		return lived{}, fmt.Errorf("%s: azptend: %w\n%s", k.Name, err, &said)
	}
	return count(k, e.Calls()), nil
}

// atRest waits until all jobs are over, every agent listens, and its mark was
// looked for: azptend knows that it is idle only after its listener says so, and
// SIGTERM before that is another life.
func atRest(ctx context.Context, e *emulator.Emulator, k kindOfLife) error {
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

// marked waits until every agent's mark was looked for.
func marked(ctx context.Context, e *emulator.Emulator, k kindOfLife) error {
	_, err := e.WaitState(ctx, func(emulator.State) bool { return count(k, e.Calls()).Azptend[getAgent] >= k.Agents })
	return err
}

// count groups the journal's records.
func count(k kindOfLife, calls []emulator.Call) lived {
	l := lived{Kind: k, Azptend: tally{}, Listener: tally{}}
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

// kinds is how records are told apart, the first that matches.
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

// kindOf is a record's kind; one that the simulation does not know stays as it is,
// and so differs from every model.
func kindOf(c emulator.Call) call {
	for _, k := range kinds {
		if k.method == c.Method && k.path.MatchString(c.Path) {
			return k.kind
		}
	}
	return call(c.Method + " " + c.Path)
}

// measureLives lives each kind of life, and fails where the simulation has others.
func measureLives(programs launch.Programs, path string) ([]lived, error) {
	var all []lived
	for _, k := range kindsOfLives() {
		l, err := live(programs, k, path)
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
