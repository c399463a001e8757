package supervisor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

const startCalls = "pool POST start 8 " // the first calls of most runs

// TestRuns plays whole runs. Each row has a script, the calls to the server and the
// processes in order, the exit code, and the agents that are left in the pool. No run may
// leave a process or a file, or last longer than its grace period.
func TestRuns(t *testing.T) {
	once := func(o *Options) { o.Policy.Once = true }
	short := func(o *Options) { o.Policy.Grace = 14 * time.Second } // drain 3.9 s, stop 8 s, remove 2.1 s
	tags := func(host string) map[string]string {
		return map[string]string{agentdir.TagKind: agentdir.KindAgent, agentdir.TagHost: host, agentdir.TagInstance: "a previous run's"}
	}
	for _, tt := range []struct {
		name   string
		with   func(*Options)
		script func(*stage)
		saw    string
		code   int
		left   string
	}{
		{"SIGTERM while idle", nil, func(s *stage) { s.ready(); s.sigterm() },
			startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"SIGTERM while busy", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.sigterm()
			s.advance(30 * time.Second)
			s.jobEnds()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"SIGTERM while the POST is in flight", nil, func(s *stage) {
			s.fails("POST", slow(5*time.Second))
			s.begin()
			s.sigterm()
		}, "pool POST DELETE 8", 0, ""},

		{"SIGTERM while the POST hangs: its answer is given up, its agent looked for", short, func(s *stage) {
			s.fails("POST", hangs)
			s.begin()
			s.sigterm()
		}, "pool POST LOOKUP LOOKUP", 0, ""},

		{"SIGTERM while the listener is being started", nil, func(s *stage) {
			s.slowStart = 5 * time.Second
			s.begin()
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"SIGTERM before the pool is found", nil, func(s *stage) {
			s.fails("pool", hangs)
			s.begin()
			s.sigterm()
		}, "pool", 0, ""},

		{"the answer to the POST is lost: its agent is found by its tag, and registered again", nil, func(s *stage) {
			s.fails("POST", lost)
			s.begin()
			s.advance(time.Minute)
			s.sigterm()
		}, "pool POST LOOKUP DELETE 8 POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"the POST is lost before it acted: there is no agent, so POST again", nil, func(s *stage) {
			s.fails("POST", dropped)
			s.begin()
			s.advance(time.Minute)
			s.sigterm()
		}, "pool POST LOOKUP LOOKUP POST start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the answer to the POST lacks what the listener needs", nil, func(s *stage) {
			s.fails("POST", s.withoutAuthorization)
			s.begin()
		}, "pool POST DELETE 8", 69, ""},

		{"the POST is denied", nil, func(s *stage) {
			s.fails("POST", refused(http.StatusForbidden, "AccessDeniedException"))
			s.begin()
		}, "pool POST", 77, ""},

		{"the listener cannot be started", nil, func(s *stage) {
			s.fails("start", func(context.Context, func() error) error { return syscall.ENOEXEC })
			s.begin()
		}, "pool POST DELETE 8", 78, ""},

		{"no room for another process", nil, func(s *stage) {
			s.fails("start", func(context.Context, func() error) error { return syscall.EAGAIN })
			s.begin()
		}, "pool POST DELETE 8", 70, ""},

		{"the listener ends before it connects: with --once it has had no job", once, func(s *stage) {
			s.silent = true
			s.begin()
			s.exits(2)
			s.advance(2 * time.Second)
			s.sigterm()
		}, startCalls + "GET 8 start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the agent is deleted, and its listener's registration is refused", nil, func(s *stage) {
			s.ready()
			s.deleteAgent(8)
			s.listener().logs(mslistener.RegistrationRefused)
			s.advance(2 * time.Minute)
			s.sigterm()
		}, startCalls + "GET 8 GET 8 GET 8 PATCH 8 PATCH 8 SIGINT POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"the same, with --once", once, func(s *stage) {
			s.ready()
			s.deleteAgent(8)
			s.listener().logs(mslistener.RegistrationRefused)
		}, startCalls + "GET 8 GET 8 GET 8 PATCH 8 PATCH 8 SIGINT", 0, ""},

		{"a job writes that the registration is refused: the server is asked, and nothing happens", nil, func(s *stage) {
			s.ready()
			for range 100 {
				s.listener().logs(mslistener.RegistrationRefused)
			}
			s.listener().logs(mslistener.NoProblem)
			s.advance(time.Minute)
			s.sigterm()
		}, startCalls + "GET 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"looks that do not show the agent for a while, and a job in between", nil, func(s *stage) {
			s.ready()
			missing := refused(http.StatusNotFound, "TaskAgentNotFoundException")
			s.fails("GET", missing, missing)
			s.listener().logs(mslistener.RegistrationRefused)
			s.advance(40 * time.Second)
			s.jobStarts()
			s.advance(time.Minute)
			s.jobEnds()
			s.sigterm()
		}, startCalls + "GET 8 GET 8 GET 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"inspections never show an existing agent: it is disabled, and the DELETE decides", nil, func(s *stage) {
			s.ready()
			missing := refused(http.StatusNotFound, "TaskAgentNotFoundException")
			s.fails("GET", missing, missing, missing)
			s.listener().logs(mslistener.RegistrationRefused)
			s.advance(2 * time.Minute)
			s.sigterm()
		}, startCalls + "GET 8 GET 8 GET 8 PATCH 8 GET 8 DELETE 8 SIGINT POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"the listener ends before its session, with exit code 1", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().connects(s.listener().pid)
			s.exits(1)
		}, startCalls + "GET 8 DELETE 8", 1, ""},

		{"an earlier listener's session is in the way for longer than a listener waits", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().connects(s.listener().pid)
			s.listener().logs(mslistener.SessionConflict)
			s.withAgent(8, func(a *azdo.Agent) { a.Status = "online" }) // by that session
			s.advance(4 * time.Minute)
			s.exits(1)
			s.advance(2 * time.Second)
			s.listener().connects(s.listener().pid)
			s.listener().logsOn()
			s.advance(time.Second)
			s.sigterm()
		}, startCalls + "GET 8 start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"exit code 0", nil, func(s *stage) {
			s.ready()
			s.exits(0)
			s.advance(10 * time.Second)
			s.sigterm()
		}, startCalls + "DELETE 8 POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"exit code 0 with --once", once, func(s *stage) { s.ready(); s.exits(0) },
			startCalls + "DELETE 8", 0, ""},

		{"exit code 2, six times", nil, func(s *stage) {
			s.ready()
			for range 6 {
				s.exits(2)
				s.advance(time.Minute)
			}
		}, startCalls + strings.Repeat("GET 8 start 8 ", 5) + "GET 8 DELETE 8", 2, ""},

		{"exit code 3: an update", nil, func(s *stage) {
			s.ready()
			s.exits(3)
			s.advance(10 * time.Second)
			close(s.updateEnded)
			s.advance(10 * time.Second)
			s.sigterm()
		}, startCalls + "await update start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"exit code 4: an update that never reports its end", once, func(s *stage) {
			s.ready()
			s.exits(4)
			s.advance(2 * time.Minute)
			s.sigterm()
		}, startCalls + "await update start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the listener is killed six times", nil, func(s *stage) {
			s.ready()
			for range 6 {
				s.dies(syscall.SIGKILL)
				s.advance(time.Minute)
			}
		}, startCalls + "DELETE 8 POST start 9 DELETE 9 POST start 10 DELETE 10 POST start 11 DELETE 11 POST start 12 " +
			"DELETE 12 POST start 13 DELETE 13", 137, ""}, // its session would conflict with the next one

		{"the listener dies with its job, with --once", once, func(s *stage) {
			s.ready()
			s.fails("PATCH", slow(time.Second))
			s.jobStarts()
			s.dies(syscall.SIGKILL)
		}, startCalls + "PATCH 8 SIGKILL DELETE 8", 137, ""},

		{"the agent is deleted on the server", nil, func(s *stage) {
			s.ready()
			s.deleteAgent(8)
			s.exits(2)
			s.advance(10 * time.Second)
			s.sigterm()
		}, startCalls + "GET 8 DELETE 8 DELETE 8 POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"the agent is deleted on the server, with --once", once, func(s *stage) {
			s.ready()
			s.deleteAgent(8)
			s.exits(2)
		}, startCalls + "GET 8 DELETE 8 DELETE 8", 0, ""},

		{"the server does not show the agent yet", nil, func(s *stage) {
			s.ready()
			s.fails("GET", refused(http.StatusNotFound, "TaskAgentNotFoundException"))
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the server does not show the agent yet, and its listener fails", once, func(s *stage) {
			s.ready()
			s.fails("GET", refused(http.StatusNotFound, "TaskAgentNotFoundException"))
			s.exits(2)
		}, startCalls + "GET 8 DELETE 8", 0, ""},

		{"--once", once, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.advance(time.Minute)
			s.jobEnds()
			s.exits(0)
		}, startCalls + "PATCH 8 DELETE 8", 0, ""},

		{"--once, and a server that does not know yet that the job ended", once, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.fails("DELETE", refused(http.StatusBadRequest, "TaskAgentJobStillRunningException"))
			s.jobEnds()
			s.exits(0)
		}, startCalls + "PATCH 8 DELETE 8 DELETE 8", 0, ""},

		{"another agent has the name, and is offline", nil, func(s *stage) {
			s.addHolder(3, "offline", nil)
			s.ready()
			s.sigterm()
		}, "pool POST LOOKUP DELETE 3 POST start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"another agent has the name, with our host name and directory, which prove nothing", nil, func(s *stage) {
			s.addHolder(3, "online", tags(s.o.HostName+":"+s.o.Dir.Root))
			s.begin()
		}, "pool POST" + strings.Repeat(" LOOKUP", 7), 75, "3"},

		{"the name is held by a live agent on another host", nil, func(s *stage) {
			s.addHolder(3, "online", tags("another"))
			s.begin()
		}, "pool POST" + strings.Repeat(" LOOKUP", 7), 75, "3"},

		{"the name's holder goes away meanwhile", nil, func(s *stage) {
			s.addHolder(3, "online", nil)
			s.begin()
			s.advance(5 * time.Second)
			s.deleteAgent(3)
			s.advance(10 * time.Second)
			s.sigterm()
		}, "pool POST LOOKUP LOOKUP POST start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"a job slips in before the DELETE", nil, func(s *stage) {
			s.ready()
			s.fails("DELETE", refused(http.StatusBadRequest, "TaskAgentJobStillRunningException"))
			s.sigterm()
			s.jobStarts()
			s.advance(20 * time.Second)
			s.jobEnds()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"401 at the removal: one more try", nil, func(s *stage) {
			s.ready()
			s.fails("DELETE", refused(http.StatusUnauthorized, ""))
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 DELETE 8 SIGINT", 0, ""},

		{"401 at the removal, twice: named", nil, func(s *stage) {
			s.ready()
			s.fails("DELETE", refused(http.StatusUnauthorized, ""), refused(http.StatusUnauthorized, ""))
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 DELETE 8 SIGINT", 0, "8"},

		{"the same, with --strict-remove", func(o *Options) { o.Policy.StrictRemove = true }, func(s *stage) {
			s.ready()
			s.fails("DELETE", refused(http.StatusUnauthorized, ""), refused(http.StatusUnauthorized, ""))
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 DELETE 8 SIGINT", 75, "8"},

		{"a removal that is never answered is tried again", nil, func(s *stage) {
			s.ready()
			s.fails("DELETE", hangs)
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 DELETE 8 SIGINT", 0, ""},

		{"the PATCH hangs: the budget's drain part is its end", nil, func(s *stage) {
			s.ready()
			s.fails("PATCH", hangs, hangs)
			s.sigterm()
		}, startCalls + "PATCH 8 PATCH 8 SIGINT DELETE 8", 0, ""},

		{"the budget is spent: SIGINT, SIGKILL, removal", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.ignoresSIGINT = true
			s.sigterm()
		}, startCalls + "PATCH 8 SIGINT SIGKILL DELETE 8", 75, ""},

		{"the budget is spent, and the server is gone: named", short, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.ignoresSIGINT = true
			s.fails("PATCH", hangs)
			s.fails("DELETE", hangs, hangs, hangs)
			s.sigterm()
		}, startCalls + "PATCH 8 SIGINT SIGKILL DELETE 8", 75, "8"},

		{"Ctrl-C three times", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.ignoresSIGINT = true
			for range 3 {
				s.sigint()
				s.advance(2 * time.Second)
			}
		}, startCalls + "PATCH 8 SIGINT SIGKILL DELETE 8", 130, ""},

		{"a signal that is the listener's business", nil, func(s *stage) {
			s.ready()
			s.signal(syscall.SIGCONT, proc.Forward)
			s.signal(syscall.SIGUSR1, proc.Ignored)
			s.advance(time.Minute)
			s.firstSignal = time.Time{}
			s.sigterm()
		}, startCalls + "SIGCONT PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the listener starts after the run has ended", func(o *Options) { o.Policy.Grace = time.Second }, func(s *stage) {
			s.slowStart = 300 * time.Millisecond
			s.begin()
			s.sigterm()
		}, "pool POST DELETE 8 start 8 SIGKILL", 0, ""},

		{"another process connects to the notification port", nil, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.connects(666)
			l.connects(l.pid)
			l.logsOn()
			s.jobStarts()
			s.sigterm()
			s.jobEnds()
		}, startCalls + "turned away PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"another process connects to the port of a listener that is killed: that is no job", once, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.connects(666)
			s.silent = false
			l.ends(proc.Status{Signal: syscall.SIGKILL})
			s.advance(time.Minute)
			s.sigterm()
		}, startCalls + "turned away DELETE 8 POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"whoever was turned away was the listener: its counters tell of its job", once, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.connects(666)
			l.logsOn()
			l.receives()
			l.ends(proc.Status{Signal: syscall.SIGKILL})
		}, startCalls + "turned away DELETE 8", 137, ""},

		{"the listener is dead when azptend looks who has connected, and has left no counters: it may have had a job", once, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.late = true
			l.connects(l.pid)
			l.ends(proc.Status{Signal: syscall.SIGKILL})
		}, startCalls + "turned away DELETE 8", 137, ""},

		{"the same, and its counters tell of no job", once, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.logsOn()
			l.late = true
			l.connects(l.pid)
			s.silent = false
			l.ends(proc.Status{Signal: syscall.SIGKILL})
			s.advance(time.Minute)
			s.sigterm()
		}, startCalls + "turned away DELETE 8 POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT", 0, ""},

		{"the listener connects long after its session: it was idle, and its job is reported", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().logsOn()
			s.advance(time.Minute)
			s.listener().connects(s.listener().pid)
			s.listener().receives()
			s.jobStarts()
			s.advance(time.Minute)
			s.jobEnds()
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"SIGTERM before it connects: an idle agent is idle", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().logsOn()
			s.advance(time.Second)
			s.sigterm()
			if took := time.Since(s.firstSignal); took > 0 {
				s.t.Errorf("the drain took %v", took)
			}
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"an agent with a number of jobs has had none when its listener connects late", func(o *Options) { o.Policy.Limits.Jobs = 1 }, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().logsOn()
			s.advance(time.Hour)
			s.listener().connects(s.listener().pid)
			s.listener().receives()
			s.jobStarts()
			s.advance(time.Minute)
			s.jobEnds()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"a job that the listener received and does not report", nil, func(s *stage) {
			s.silent = true
			s.begin()
			l := s.listener()
			l.logsOn()
			l.receives()
			s.assign()
			s.advance(11 * time.Second)
			s.sigterm()
			s.advance(time.Second)
			s.unassign()
		}, startCalls + "PATCH 8 GET 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the socket is lost: the worker and the server tell when the job ends", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.listener().conn.Close()
			s.advance(5 * time.Second)
			s.sigterm()
			s.advance(time.Second)
			s.listener().stopWorking()
		}, startCalls + "PATCH 8 GET 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the socket is lost, and the server alone knows of a job", nil, func(s *stage) {
			s.ready()
			s.listener().conn.Close()
			s.assign()
			s.advance(5 * time.Second)
			s.sigterm()
			s.advance(time.Second)
			s.unassign()
		}, startCalls + "PATCH 8 GET 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the socket is lost, and a worker alone shows the job", nil, func(s *stage) {
			s.ready()
			s.jobStarts()
			s.unassign()
			s.listener().conn.Close()
			s.advance(5 * time.Second)
			s.sigterm()
			s.advance(time.Second)
			s.listener().stopWorking()
		}, startCalls + "PATCH 8 GET 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the listener's last words come after its end: with --once it has had its job", once, func(s *stage) {
			s.ready()
			s.listener().endsBeforeItsSocket(proc.Status{Code: 2})
			s.advance(time.Second / 2)
			s.fails("PATCH", slow(time.Second))
			s.jobStarts()
			s.listener().conn.Close()
		}, startCalls + "PATCH 8 SIGKILL DELETE 8", 2, ""},

		{"a child of the listener keeps its socket open", nil, func(s *stage) {
			s.ready()
			s.listener().endsBeforeItsSocket(proc.Status{Code: 2})
			s.advance(10 * time.Second)
			s.sigterm()
		}, startCalls + "GET 8 start 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the listener never connects to the socket: it may have a job once it has a message", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.listener().logsOn()
			s.listener().writes(func(c *mslistener.PerfCounts) { c.Messages++ })
			s.advance(11 * time.Second)
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"the perf file shows nothing: the server shows the agent online", nil, func(s *stage) {
			s.silent = true
			s.begin()
			s.withAgent(8, func(a *azdo.Agent) { a.Status = "online" })
			s.listener().connects(s.listener().pid)
			s.advance(time.Hour)
			s.sigterm()
		}, startCalls + "GET 8 PATCH 8 GET 8 DELETE 8 SIGINT", 0, ""},

		{"a job leaves a process running", nil, func(s *stage) {
			s.ready()
			s.listener().daemon = true
			s.sigterm()
		}, startCalls + "PATCH 8 GET 8 DELETE 8 SIGINT SIGKILL", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.with, tt.script)
			if d := cmp.Diff(strings.Fields(tt.saw), strings.Fields(strings.Join(s.record, " "))); d != "" {
				t.Errorf("saw (-want +got):\n%s", d)
			}
			if s.end.Code != tt.code {
				t.Errorf("exit code %d (%s), want %d", s.end.Code, s.end.Why, tt.code)
			}
			if got := s.agentsLeft(); got != tt.left {
				t.Errorf("agents left: %q, want %q", got, tt.left)
			}
			if s.took > s.o.Policy.Grace {
				t.Errorf("took %v of a grace period of %v", s.took, s.o.Policy.Grace)
			}
			s.leavesNothing(t)
		})
	}
}

// leavesNothing checks that a run left no process and no file, except the record of an
// agent that it could not remove: the next run needs it.
func (s *stage) leavesNothing(t *testing.T) {
	t.Helper()
	if s.survivors > 0 {
		t.Errorf("%d listeners outlive azptend", s.survivors)
	}
	entries, err := os.ReadDir(s.o.Dir.Root)
	if err != nil {
		t.Fatal(err)
	}
	stays := false
	for id, a := range s.agents {
		stays = stays || (id > 7 && a.UserCapabilities[agentdir.TagOwner] != "")
	}
	for _, e := range entries {
		if name := e.Name(); name != "bin" && name != "_diag" && name != ".azptend-owner" {
			t.Errorf("left the file %s", name)
		}
	}
	if _, has := s.o.Dir.Owner(); has != stays {
		t.Errorf("left the record of its agent: %v; left its agent: %v", has, stays)
	}
}

// TestHowTheListenerIsStarted checks the listener's arguments, directory and environment.
func TestHowTheListenerIsStarted(t *testing.T) {
	for _, tt := range []struct {
		once bool
		args []string
	}{
		{false, []string{"run", "--startuptype", "service"}},
		{true, []string{"run", "--startuptype", "service", "--once"}},
	} {
		s := play(t, func(o *Options) { o.Policy.Once, o.Environ = tt.once, []string{"PATH=/bin"} }, func(s *stage) {
			s.ready()
			s.sigterm()
		})
		got := s.specs[0]
		perf, _ := strings.CutPrefix(got.Env[len(got.Env)-1], "VSTS_AGENT_PERFLOG=")
		want := proc.Spec{
			Path: s.o.Dir.Listener(), Args: tt.args, Dir: s.o.Dir.Root,
			Env: []string{"PATH=/bin", "VSTS_AGENT_PERFLOG=" + perf},
		}
		if d := cmp.Diff(want, got); d != "" || filepath.Dir(perf) != s.o.Dir.Root {
			t.Errorf("%q (-want +got):\n%s", perf, d)
		}
	}
}

// recordingObserver records phases and starts.
type recordingObserver struct {
	phases []lifecycle.Phase
	starts []map[string]time.Duration
}

func (w *recordingObserver) Stepped(before, after lifecycle.State, _ lifecycle.Event) {
	if before.Phase != after.Phase {
		w.phases = append(w.phases, after.Phase)
	}
}

func (w *recordingObserver) Ready(parts map[string]time.Duration) { w.starts = append(w.starts, parts) }

// TestObserver: the observer gets each phase, and the start once.
func TestObserver(t *testing.T) {
	w := &recordingObserver{}
	play(t, func(o *Options) { o.Observer = w }, func(s *stage) {
		s.ready()
		s.sigterm()
	})
	want := []lifecycle.Phase{lifecycle.Registering, lifecycle.Starting, lifecycle.Idle, lifecycle.Draining, lifecycle.Removing, lifecycle.Stopping, lifecycle.Gone}
	if d := cmp.Diff(want, w.phases); d != "" {
		t.Errorf("phases (-want +got):\n%s", d)
	}
	if len(w.starts) != 1 || w.starts[0]["total"] < w.starts[0]["session"] || len(w.starts[0]) != 8 {
		t.Errorf("starts %v", w.starts)
	}
}

// TestNameTakenError: the error says which agent has the name, and since when.
func TestNameTakenError(t *testing.T) {
	var log bytes.Buffer
	s := play(t, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) }, func(s *stage) {
		s.addHolder(3, "online", nil)
		s.agents[3].StatusChangedOn = azdo.Time{Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
		s.begin()
	})
	if s.end.Err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"id 3", "4.1.0", "online", "2026-11-22T12:00:00Z"} {
		if !strings.Contains(s.end.Err.Error(), want) {
			t.Errorf("%v: no %q in it", s.end.Err, want)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	waits := strings.Count(log.String(), "Waiting for the agent's name")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"exit_code":75`) || strings.Contains(last, "id 3") || waits != 1 {
		t.Errorf("the wait was logged %d times; last line, in which the error must not be: %s", waits, last)
	}
}

// TestCapabilities: the user capabilities of a removed agent of our name are copied, and
// those of one that left by itself are not. The settings of this run take precedence.
func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		want         map[string]string
	}{
		{"removed", "offline", map[string]string{"gpu": "h100", "rack": "ours"}},
		{"left by itself", "online", map[string]string{"rack": "ours"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got, tags map[string]string
			var home string
			play(t, func(o *Options) { o.Capabilities = map[string]string{"rack": "ours"} }, func(s *stage) {
				home = s.o.HostName + ":" + s.o.Dir.Root
				s.addHolder(3, tt.status, map[string]string{"gpu": "h100", "rack": "theirs", agentdir.TagInstance: "theirs"})
				s.begin()
				s.deleteAgent(3)
				s.advance(time.Minute)
				got, tags = map[string]string{}, map[string]string{}
				s.withAgent(8, func(a *azdo.Agent) {
					for name, value := range a.UserCapabilities {
						if strings.HasPrefix(name, "azptend.") {
							tags[name] = value
							continue
						}
						got[name] = value
					}
				})
				s.sigterm()
			})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if tags[agentdir.TagHost] != home || tags[agentdir.TagKind] != "agent" || len(tags[agentdir.TagInstance]) < 20 || len(tags[agentdir.TagOwner]) != 64 || tags[agentdir.TagInstance] == "theirs" {
				t.Errorf("tags %v", tags)
			}
		})
	}
}

// TestKeysAndTags: each agent that was added has its own key and tags. A POST that added no
// agent is repeated with the same.
func TestKeysAndTags(t *testing.T) {
	for _, tt := range []struct {
		name string
		how  fault
		same bool
	}{
		{"its agent was removed", lost, false},
		{"it added none", dropped, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent []azdo.Agent
			play(t, func(o *Options) { o.Server = spy{o.Server, &sent} }, func(s *stage) {
				s.fails("POST", tt.how)
				s.begin()
				s.advance(time.Minute)
				s.sigterm()
			})
			if len(sent) != 2 {
				t.Fatalf("%d POSTs", len(sent))
			}
			key := cmp.Equal(sent[0].Authorization.PublicKey, sent[1].Authorization.PublicKey)
			tags := maps.Equal(sent[0].UserCapabilities, sent[1].UserCapabilities)
			if key != tt.same || tags != tt.same {
				t.Errorf("the same key: %v, the same tags: %v; want %v", key, tags, tt.same)
			}
		})
	}
}

type spy struct {
	Server
	sent *[]azdo.Agent
}

func (s spy) AddAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error) {
	*s.sent = append(*s.sent, azdo.Agent{
		Authorization: &azdo.Authorization{PublicKey: a.Authorization.PublicKey}, UserCapabilities: maps.Clone(a.UserCapabilities),
	})
	return s.Server.AddAgent(ctx, pool, a)
}

// TestTokenIsRefused: a refusal by the identity endpoint ends the run at once. azptend
// retries if the endpoint is not reachable.
func TestTokenIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code int
		took time.Duration
	}{
		{"refused", refusedToken{}, 69, 0},
		{"unreachable", errors.New("connection refused"), 69, 2 * time.Minute},
		{"a name that does not resolve", &azdo.Error{Op: "look", Cause: &net.DNSError{Err: "no such host", Name: "devops.invalid", IsNotFound: true}}, 69, 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var took time.Duration
			s := play(t, func(o *Options) { o.Server = unauthorized{o.Server, tt.err} }, func(s *stage) {
				begun := time.Now()
				s.begin()
				end := <-s.ended
				took = time.Since(begun)
				s.ended <- end
			})
			if s.end.Code != tt.code || took.Round(time.Second) != tt.took || len(s.record) != 0 {
				t.Errorf("exit code %d after %v, having called %v; want %d after %v", s.end.Code, took, s.record, tt.code, tt.took)
			}
			if !errors.Is(s.end.Err, tt.err) {
				t.Errorf("the cause is lost: %v", s.end.Err)
			}
		})
	}
}

// unauthorized is a server for which the identity gets no token.
type unauthorized struct {
	Server
	err error
}

func (u unauthorized) Authorize(context.Context) error {
	return &azdo.TokenError{Op: "log on to Azure DevOps", Cause: u.err}
}

type refusedToken struct{}

func (refusedToken) Error() string   { return "no such identity" }
func (refusedToken) Permanent() bool { return true }
