package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/mslistener"
)

// TestHandoff: one azptend registers the agent. Another runs it and sends no requests to
// the server.
func TestHandoff(t *testing.T) {
	var out agentdir.Dir
	first := play(t, func(o *Options) {
		out = agentdir.Dir{Root: filepath.Join(o.Dir.Root, "out")}
		o.Policy.RegisterOnly, o.Dir = true, out
	}, func(s *stage) { s.begin() })
	if got := strings.Join(first.record, " "); got != "pool POST" || first.end.Code != 0 || first.agentsLeft() != "8" {
		t.Fatalf("saw %s, exit code %d, left %s", got, first.end.Code, first.agentsLeft())
	}
	made := first.agents[8]
	if made.UserCapabilities[agentdir.TagRemoval] != agentdir.RemovalByKeeper {
		t.Errorf("its tags do not say who removes it: %v", made.UserCapabilities)
	}
	given, err := out.ReadHandoff()
	if err != nil || given.Registration.AgentID != 8 {
		t.Fatalf("handed over %+v, %v", given.Registration, err)
	}

	for _, tt := range []struct {
		name   string
		with   func(*Options)
		script func(*stage)
		saw    string
		code   int
	}{
		{"one job", func(o *Options) { o.Policy.Once = true }, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.jobEnds()
			s.exits(0)
		}, "start 8", 0},
		{"SIGTERM while busy", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.sigterm()
			s.advance(10 * time.Second)
			s.jobEnds()
		}, "start 8 SIGINT", 0},
		{"SIGTERM while a worker runs of which the socket says nothing", nil, func(s *stage) {
			s.ready()
			s.listener().works = true
			s.sigterm()
			s.advance(10 * time.Second)
			s.listener().stopWorking()
		}, "start 8 SIGINT", 0},
		{"SIGTERM when a job was received and has not started", nil, func(s *stage) {
			s.ready()
			s.listener().receives()
			s.sigterm()
			s.advance(time.Second)
			s.jobStarts()
			s.advance(10 * time.Second)
			s.jobEnds()
		}, "start 8 SIGINT", 0},
		{"SIGTERM after a job has written that another was received", func(o *Options) { o.Policy.Grace = 10 * time.Minute }, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.jobEnds()
			for range 5 {
				s.listener().receives()
			}
			s.sigterm()
			end := <-s.ended
			if took := time.Since(s.firstSignal); took > 2*jobStartTimeout {
				s.t.Errorf("it took %v", took)
			}
			s.ended <- end
		}, "start 8 SIGINT", 0},
		{"its registration is refused, until it is given up", nil, func(s *stage) {
			s.ready()
			s.listener().logs(mslistener.RegistrationRefused)
			s.advance(14 * time.Minute)
			if s.phase() != "starting" {
				s.t.Errorf("an agent whose registration is refused is %s", s.phase())
			}
		}, "start 8 SIGINT", 69},
		{"its registration is refused for a while", nil, func(s *stage) {
			s.ready()
			s.listener().logs(mslistener.RegistrationRefused)
			s.advance(10 * time.Minute)
			s.listener().logs(mslistener.NoProblem)
			s.advance(time.Hour)
			if s.phase() != "idle" {
				s.t.Errorf("it is %s", s.phase())
			}
			s.sigterm()
		}, "start 8 SIGINT", 0},
		{"its listener never gets a session", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.advance(time.Minute)
		}, "start 8 SIGINT", 69},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, func(o *Options) {
				o.Handoff, o.Server = &given, nil
				if tt.with != nil {
					tt.with(o)
				}
			}, func(s *stage) {
				s.agents[8] = &azdo.Agent{ID: 8, Name: "agent-1"}
				s.next = 8
				tt.script(s)
			})
			if got := strings.Join(s.record, " "); got != tt.saw || s.end.Code != tt.code || s.agentsLeft() != "8" {
				t.Errorf("saw %s, exit code %d (%s), left %s", got, s.end.Code, s.end.Why, s.agentsLeft())
			}
			s.leavesNothing(t)
		})
	}

	if err := os.Remove(filepath.Join(out.Root, ".credentials")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadHandoff(); err == nil || !strings.Contains(err.Error(), "cannot read .credentials") {
		t.Errorf("half of the files: %v", err)
	}
}
