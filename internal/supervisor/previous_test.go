package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

func (s *stage) agentWithCapabilities(ctx context.Context, pool, id int) (found azdo.Agent, err error) {
	if id == s.next && id != 7 { // confirmTags may come at any time
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.agents[id] == nil {
			return azdo.Agent{}, errNoAgent
		}
		found = *s.agents[id]
		if s.dropsTags {
			found.UserCapabilities = nil
		}
		return found, nil
	}
	err = s.call(ctx, fmt.Sprintf("FORMER %d:%d", pool, id), func() error {
		if s.agents[id] == nil {
			return errNoAgent
		}
		found = *s.agents[id]
		return nil
	})
	return found, err
}

func (s *stage) SetUserCapabilities(ctx context.Context, _, id int, c map[string]string) error {
	return s.call(ctx, fmt.Sprintf("PUT %d", id), func() error { s.agents[id].UserCapabilities = c; return nil })
}

func (s *stage) Find(is func(proc.Info) bool) []proc.Info {
	var found []proc.Info
	for _, f := range s.processes {
		if is(f) {
			found = append(found, f)
		}
	}
	return found
}

func (s *stage) KillTrees(ctx context.Context, all []mslistener.Process) (n int) {
	for _, p := range all {
		n += p.KillTree(ctx)
	}
	return n
}

func (s *stage) Adopt(pid int, is func(proc.Info) bool) (mslistener.Process, error) {
	if !slices.ContainsFunc(s.processes, func(f proc.Info) bool { return f.Pid == pid && is(f) }) {
		return nil, errors.New("it is another process now")
	}
	s.note("adopt %d", pid)
	s.previousListener.pid = pid
	return s.previousListener, nil
}

// What a previous run left in the directory besides .agent.
const (
	recorded  = "recorded"  // the record of its agent
	unclaimed = "unclaimed" // nothing: azptend wrote .agent, perhaps when the image was built
	foreign   = "foreign"   // nothing, and config.sh wrote .agent
	older     = "older"     // a perf directory: an azptend that wrote no records was killed
)

// previousRun adds an agent of a previous run: in a pool, with its files and processes.
func (s *stage) previousRun(pool int, left string, programs ...string) {
	tags := map[string]string{agentdir.TagKind: agentdir.KindAgent, agentdir.TagHost: s.o.HostName + ":" + s.o.Dir.Root, agentdir.TagInstance: "the former's"}
	settings := map[string]any{"agentId": 5, "agentName": "former", "poolId": pool, "poolName": "Pool"}
	b, _ := json.Marshal(settings)
	b = append([]byte("\xef\xbb\xbf"), b...) // as the agent rewrites the file
	if left == unclaimed {
		b, _ = json.MarshalIndent(settings, "", "  ")
		b = append(b, '\n')
	}
	err := os.WriteFile(filepath.Join(s.o.Dir.Root, ".agent"), b, 0o600)
	switch left {
	case recorded:
		tags[agentdir.TagHost], tags[agentdir.TagOwner] = "the host before a restart:/azp", agentdir.OwnerTag("key")
		err = errors.Join(err, s.o.Dir.WriteOwner(agentdir.OwnerRecord{AgentName: "former", PoolID: pool, PoolName: "Pool", Instance: "the former's", Key: "key"}))
	case older:
		err = errors.Join(err, os.Mkdir(filepath.Join(s.o.Dir.Root, ".azptend-perf-1"), 0o700))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.agents[5] = &azdo.Agent{ID: 5, Name: "Former", Status: "online", UserCapabilities: tags}
	s.previousListener = &listener{s: s, done: make(chan struct{}), daemon: true}
	s.previousListener.conn, s.previousListener.far = net.Pipe()
	for _, p := range programs {
		s.processes = append(s.processes, proc.Info{
			Pid: 55, Program: filepath.Join(s.o.Dir.Root, "bin.4.1.0", p),
			Args: func() []string { return nil },
			Environ: func() []string {
				return []string{"PATH=/bin", "VSTS_AGENT_PERFLOG=" + filepath.Join(s.o.Dir.Root, ".azptend-perf-1")}
			},
			Stat:                os.Stat,
			OtherMountNamespace: func() bool { return false },
		})
	}
}

// TestPreviousRuns plays runs in a directory in which an earlier run was killed.
func TestPreviousRuns(t *testing.T) {
	const newAgent = "POST start 8 PATCH 8 GET 8 DELETE 8 SIGINT"
	for _, tt := range []struct {
		name   string
		script func(*stage)
		saw    string
		code   int
		left   string
	}{
		{"its agent is removed, whatever its name", func(s *stage) {
			s.previousRun(1, recorded)
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"its agent in another pool", func(s *stage) {
			s.previousRun(2, recorded)
			s.ready()
			s.sigterm()
		}, "pool FORMER 2:5 DELETE 5 " + newAgent, 0, ""},

		{"files of another tool are not replaced", func(s *stage) {
			s.previousRun(1, foreign)
			s.begin()
		}, "pool", 78, "5"},

		{"files of another tool are replaced with AZP_REPLACE_AGENT_FILES", func(s *stage) {
			s.previousRun(1, foreign)
			s.o.ReplaceForeignFiles = true
			s.ready()
			aside, err := filepath.Glob(filepath.Join(s.o.Dir.Root, ".azptend-replaced-*"))
			if err != nil || len(aside) != 1 {
				s.t.Fatalf("no files were moved aside: %v, %v", aside, err)
			}
			if err := errors.Join(os.Remove(filepath.Join(aside[0], ".agent")), os.Remove(aside[0])); err != nil {
				s.t.Error(err)
			}
			s.sigterm()
		}, "pool " + newAgent, 0, "5"},

		{"files that came with an image prove nothing", func(s *stage) {
			s.previousRun(1, unclaimed)
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 " + newAgent, 0, "5"},

		{"the first request fails: asked again", func(s *stage) {
			s.previousRun(1, recorded)
			s.fails("FORMER", refused(http.StatusServiceUnavailable, ""))
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 pool FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"it may not be looked at, so nothing proves that it is ours", func(s *stage) {
			s.previousRun(1, recorded)
			s.fails("FORMER", refused(http.StatusForbidden, ""), refused(http.StatusForbidden, ""))
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 FORMER 1:5 " + newAgent, 0, "5"},

		{"it may not be looked at once: looked at again", func(s *stage) {
			s.previousRun(1, recorded)
			s.fails("FORMER", refused(http.StatusForbidden, ""))
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"the same, and .agent was not written", func(s *stage) {
			s.previousRun(1, recorded)
			if err := os.Remove(filepath.Join(s.o.Dir.Root, ".agent")); err != nil {
				s.t.Fatal(err)
			}
			s.fails("LOOKUP", refused(http.StatusForbidden, ""))
			s.ready()
			s.sigterm()
		}, "pool LOOKUP LOOKUP DELETE 5 " + newAgent, 0, ""},

		{"an azptend that wrote no records was killed", func(s *stage) {
			s.previousRun(1, older)
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"the same, and .agent names an agent of another host", func(s *stage) {
			s.previousRun(1, older)
			s.withAgent(5, func(a *azdo.Agent) { a.UserCapabilities[agentdir.TagHost] = "another:/azp" })
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 " + newAgent, 0, "5"},

		{"the same, and .agent names an agent that has a record elsewhere", func(s *stage) {
			s.previousRun(1, older)
			s.withAgent(5, func(a *azdo.Agent) { a.UserCapabilities[agentdir.TagOwner] = agentdir.OwnerTag("another's") })
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 " + newAgent, 0, "5"},

		{"the record is a copy of what the pool shows of another agent", func(s *stage) {
			s.previousRun(1, recorded)
			s.withAgent(5, func(a *azdo.Agent) { a.UserCapabilities[agentdir.TagOwner] = agentdir.OwnerTag("another's") })
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 " + newAgent, 0, "5"},

		{"the record's agent has another name by now", func(s *stage) {
			s.previousRun(1, recorded)
			s.withAgent(5, func(a *azdo.Agent) { a.Name = "renamed" })
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 " + newAgent, 0, "5"},

		{"it was killed before it wrote .agent: found by the record's name", func(s *stage) {
			s.previousRun(1, recorded)
			if err := os.Remove(filepath.Join(s.o.Dir.Root, ".agent")); err != nil {
				s.t.Fatal(err)
			}
			s.ready()
			s.sigterm()
		}, "pool LOOKUP DELETE 5 " + newAgent, 0, ""},

		{"nothing proves that it is ours, and it is offline", func(s *stage) {
			s.previousRun(1, unclaimed)
			s.withAgent(5, func(a *azdo.Agent) { a.Status = "offline" })
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"its idle listener is ended", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon = false
			s.begin()
			s.advance(time.Minute)
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 PATCH 5 GET 5 GET 5 DELETE 5 SIGINT " + newAgent, 0, ""},

		{"its busy listener finishes the job first", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon, s.previousListener.works = false, true
			s.begin()
			s.advance(3 * time.Second)
			s.previousListener.stopWorking()
			s.advance(time.Minute)
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 PATCH 5 GET 5 GET 5 GET 5 GET 5 DELETE 5 SIGINT " + newAgent, 0, ""},

		{"its listener ends by itself", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon, s.previousListener.works = false, true
			s.begin()
			s.previousListener.works = false
			close(s.previousListener.done)
			s.advance(2 * time.Second)
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 PATCH 5 GET 5 DELETE 5 " + newAgent, 0, ""},

		{"its listener cannot be killed: its end, when it comes, is not the new one's", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon, s.previousListener.stuck = false, true
			s.begin()
			s.advance(time.Minute)
			s.previousListener.ends(proc.Status{})
			s.advance(time.Minute)
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 PATCH 5 GET 5 GET 5 DELETE 5 SIGINT SIGKILL " + newAgent, 0, ""},

		{"its listener's agent is gone", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon = false
			s.deleteAgent(5)
			s.begin()
			s.advance(2 * time.Second)
			s.sigterm()
		}, "pool FORMER 1:5 FORMER 1:5 adopt 55 SIGINT " + newAgent, 0, ""},

		{"a drain while its job runs: that is finished, and nothing else begun", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.previousListener.daemon, s.previousListener.works = false, true
			s.begin()
			s.sigterm()
			s.advance(10 * time.Second)
			s.previousListener.stopWorking()
		}, "pool FORMER 1:5 adopt 55 PATCH 5 GET 5 GET 5 GET 5 GET 5 GET 5 GET 5 DELETE 5 SIGINT", 0, ""},

		{"a worker without its listener is killed", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Worker")
			s.ready()
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 SIGKILL DELETE 5 " + newAgent, 0, ""},

		{"a process that a job left blocks whoever inspects it", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Worker", "Agent.Worker")
			answers := make(chan struct{})
			s.processes[1].Stat = func(string) (fs.FileInfo, error) { <-answers; return nil, fs.ErrNotExist }
			s.begin()
			s.advance(time.Minute)
			close(answers)
			s.sigterm()
		}, "pool FORMER 1:5 adopt 55 SIGKILL DELETE 5 " + newAgent, 0, ""},

		{"another user's program that looks like a listener", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener", "Agent.Worker")
			s.processes[0].UID, s.processes[1].UID = 54321, 54321
			s.begin()
			s.advance(time.Second)
			s.sigterm()
		}, "pool FORMER 1:5 DELETE 5 " + newAgent, 0, ""},

		{"a listener that azptend did not start", func(s *stage) {
			s.previousRun(1, recorded, "Agent.Listener")
			s.processes[0].Environ = func() []string { return []string{"PATH=/bin"} }
			s.begin()
		}, "pool", 78, "5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, nil, tt.script)
			if d := cmp.Diff(strings.Fields(tt.saw), strings.Fields(strings.Join(s.record, " "))); d != "" {
				t.Errorf("saw (-want +got):\n%s", d)
			}
			if s.end.Code != tt.code || s.agentsLeft() != tt.left {
				t.Errorf("exit code %d (%s), left %q; want %d, %q", s.end.Code, s.end.Why, s.agentsLeft(), tt.code, tt.left)
			}
			if tt.code == 0 {
				s.leavesNothing(t)
			}
		})
	}
}

// TestTagsAreConfirmed: tags that the server did not store are written once more.
func TestTagsAreConfirmed(t *testing.T) {
	s := play(t, nil, func(s *stage) {
		s.dropsTags = true
		s.ready()
		s.sigterm()
	})
	if got := strings.Join(s.record, " "); got != startCalls+"PUT 8 PATCH 8 GET 8 DELETE 8 SIGINT" {
		t.Errorf("saw %s", got)
	}
}

// TestPlaceholdersStay: a run with a placeholder's name does not remove the placeholder.
func TestPlaceholdersStay(t *testing.T) {
	for _, tt := range []struct {
		version string
		tags    map[string]string
	}{
		{"4.1.0", map[string]string{agentdir.TagKind: agentdir.KindPlaceholder}},
		{"99.999.9", nil},
	} {
		s := play(t, nil, func(s *stage) {
			s.addHolder(3, "offline", tt.tags)
			s.agents[3].Version = tt.version
			s.begin()
		})
		if got := strings.Join(s.record, " "); got != "pool POST LOOKUP" || s.end.Code != 75 {
			t.Errorf("saw %s, exit code %d", got, s.end.Code)
		}
	}
}

// TestRecentlyCreated: an offline agent of azptend may just be starting.
func TestRecentlyCreated(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  time.Duration
		kind string
		saw  string
	}{
		{"just made", 30 * time.Second, agentdir.KindAgent, "LOOKUP LOOKUP LOOKUP LOOKUP DELETE 3"},
		{"from a clock that is ahead of ours", -30 * time.Second, agentdir.KindAgent, "LOOKUP LOOKUP LOOKUP LOOKUP LOOKUP LOOKUP"},
		{"made long ago", time.Hour, agentdir.KindAgent, "LOOKUP DELETE 3"},
		{"not azptend's", 0, "", "LOOKUP DELETE 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, nil, func(s *stage) {
				s.addHolder(3, "offline", map[string]string{agentdir.TagKind: tt.kind, agentdir.TagHost: "another"})
				s.agents[3].CreatedOn = azdo.Time{Time: time.Now().Add(-tt.age)}
				s.begin()
				s.advance(55 * time.Second)
				if s.end.Code == 0 {
					s.sigterm()
				}
			})
			if got := strings.Join(s.record, " "); !strings.HasPrefix(got, "pool POST "+tt.saw) {
				t.Errorf("saw %s", got)
			}
		})
	}
}
