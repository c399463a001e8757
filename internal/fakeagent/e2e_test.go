package fakeagent

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/azptend/azptend/internal/emulator"
)

// patient is a script that runs until SIGINT.
const patient = "trap 'echo interrupted; exit 9' INT\necho up\nwhile :; do sleep 0.02; done\n"

// stubborn is a script that only SIGKILL ends.
const stubborn = "trap '' INT TERM\necho up\nwhile :; do sleep 0.02; done\n"

func TestOnce(t *testing.T) {
	r := newRig(t)
	frames := r.notifications()
	perfDir := filepath.Join(t.TempDir(), "perf")
	r.env = append(r.env, "VSTS_AGENT_PERFLOG="+perfDir)

	j := r.queue("echo hello from $AGENT_NAME\necho TF_BUILD=$TF_BUILD plan=$SYSTEM_PLANID dir=$PWD\necho to stderr >&2\n")
	reached, release := r.hold("/feed")
	p := r.start("--once")
	reached() // lines come while the job runs
	release()
	if ev := r.await(emulator.EventJobFinished); ev.Result != "succeeded" {
		t.Errorf("result %q", ev.Result)
	}
	p.mustEnd(0)
	for _, kind := range []string{emulator.EventAgentToken, emulator.EventSessionCreated, emulator.EventJobStarted,
		emulator.EventMessageDeleted, emulator.EventAgentShutting, emulator.EventSessionDeleted} {
		if !r.has(kind) {
			t.Errorf("no event %s", kind)
		}
	}
	text, err := r.em.JobLog(j.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello from fake-agent", "TF_BUILD=True plan=", "dir=" + filepath.Join(r.root, "_work/1/s"), "to stderr"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %q:\n%s", want, text)
		}
	}
	if got, want := <-frames, "Starting job: "+j.JobID+"Finished job: "+j.JobID; got != want {
		t.Errorf("notifications %q, want %q", got, want)
	}
	mustMatch(t, p.stdout(), `^azptend's fake agent, version 5\.999\.0\. This is not Microsoft's agent\.
Scanning for tool capabilities\.
Connecting to the server\.
\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ: Listening for Jobs
\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ: Running job: the job
\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ: Job the job completed with result: Succeeded
$`)
	counters, err := os.ReadFile(filepath.Join(perfDir, "Agent.perf"))
	if err != nil {
		t.Fatal(err)
	}
	mustMatch(t, string(counters), `^AgentProcessStarted:\d{4}-\d\d-\d\dT[\d:.]+Z
SessionCreated:\S+Z
MessageReceived_PipelineAgentJobRequest:\S+Z
JobRequestRenewed_1:\S+Z
SentJobToWorker_1:\S+Z
(JobRequestRenewed_1:\S+Z
)*$`)
}

// notifications receives the agent's notifications, and returns all of them at the end.
func (r *rig) notifications() <-chan string {
	r.t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { ln.Close() })
	r.amend(map[string]any{"notificationSocketAddress": ln.Addr().String()})
	frames := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn)
		frames <- string(b)
	}()
	return frames
}

func mustMatch(t *testing.T, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("got\n%s\nwant a match of\n%s", got, pattern)
	}
}

func TestCapabilitiesOnTheServer(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 1024)
	r.env = append(r.env, "AZP_TOKEN=a-secret", "HIDDEN=1", "VSO_AGENT_IGNORE=OTHER, HIDDEN", "LONG="+long,
		"TERM=dumb", "LS_COLORS=x", "VSTS_AGENT_INPUT_TOKEN=another-secret", "VSTS_HTTP_PROXY_PASSWORD=pw")
	if err := os.WriteFile(filepath.Join(r.root, ".env"), []byte("FROM_FILE=yes=no\nHOME=/elsewhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := r.start()
	r.await(emulator.EventSessionCreated)
	p.signal(syscall.SIGINT)
	p.mustEnd(0)
	a := r.agent()
	for name, want := range map[string]string{
		"AZP_TOKEN": "a-secret", "FROM_FILE": "yes=no", "HOME": "/elsewhere", "LS_COLORS": "x", "VSO_AGENT_IGNORE": "OTHER, HIDDEN",
		"VSTS_HTTP_PROXY_PASSWORD": "***", "InteractiveSession": "False", "Agent.Name": "fake-agent", "Agent.FakeAgent": "azptend",
		"Agent.Version": "5.999.0", "Agent.HomeDirectory": r.root,
	} {
		if got, ok := a.SystemCapabilities[name]; !ok || got != want {
			t.Errorf("capability %s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"HIDDEN", "LONG", "TERM", "VSTS_AGENT_INPUT_TOKEN"} {
		if got, ok := a.SystemCapabilities[name]; ok {
			t.Errorf("capability %s is sent: %q", name, got)
		}
	}
	if a.OSDescription != osDescription || a.Version != Version {
		t.Errorf("described as %q, %q", a.OSDescription, a.Version)
	}
}

func TestFailingJobAndTheNext(t *testing.T) {
	r := newRig(t)
	r.queue("echo one\nfalse\necho never\n")
	p := r.start()
	first := r.await(emulator.EventJobFinished)
	if first.Result != "failed" {
		t.Errorf("result %q", first.Result)
	}
	if text, _ := r.em.JobLog(first.RequestID); strings.Contains(text, "never") || !strings.Contains(text, "exited with code '1'") {
		t.Errorf("log:\n%s", text)
	}
	r.queue("echo two\n")
	if second := r.awaitAfter(first.Seq, emulator.EventJobFinished); second.Result != "succeeded" {
		t.Errorf("result %q", second.Result)
	}
	p.signal(syscall.SIGINT)
	p.mustEnd(0)
}

func TestInterruptWhileIdle(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.await(emulator.EventSessionCreated)
	p.signal(syscall.SIGINT)
	p.mustEnd(0)
	if !r.has(emulator.EventSessionDeleted) || !strings.HasSuffix(p.stdout(), "\nExiting...\n") {
		t.Errorf("left without a farewell:\n%s", p.stdout())
	}
}

func TestInterruptMidJob(t *testing.T) {
	for name, script := range map[string]string{"patient": patient, "stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			r := newRigAt(t, slowScale) // the script has 7.5 s to end after SIGINT
			j := r.queue(script)
			p := r.start()
			reached, release := r.hold("/feed")
			reached()
			release()
			p.signal(syscall.SIGINT)
			p.signal(syscall.SIGINT) // no-op
			if ev := r.await(emulator.EventJobFinished); ev.Result != "canceled" {
				t.Errorf("result %q", ev.Result)
			}
			p.mustEnd(0)
			if !r.has(emulator.EventAgentShutting) || !r.has(emulator.EventSessionDeleted) {
				t.Error("the server does not know that the agent left")
			}
			mustMatch(t, p.stdout(), `Exiting\.\.\.\n.*: Job the job completed with result: Canceled\n$`)
			text, _ := r.em.JobLog(j.RequestID)
			if got := strings.Contains(text, "interrupted"); got != (name == "patient") {
				t.Errorf("log:\n%s", text)
			}
			if n := p.child.KillTree(r.ctx); n != 0 {
				t.Errorf("%d processes were left", n)
			}
		})
	}
}

func TestServerCancels(t *testing.T) {
	r := newRig(t)
	j := r.queue(patient)
	p := r.start()
	reached, release := r.hold("/feed")
	reached()
	release()
	if err := r.em.CancelJob(j.RequestID); err != nil {
		t.Fatal(err)
	}
	ev := r.await(emulator.EventJobFinished)
	if ev.Result != "canceled" || r.has(emulator.EventAgentShutting) {
		t.Errorf("result %q", ev.Result)
	}
	r.queue("echo next\n") // the listener continues
	if ev = r.awaitAfter(ev.Seq, emulator.EventJobFinished); ev.Result != "succeeded" {
		t.Errorf("result %q", ev.Result)
	}
	p.signal(syscall.SIGINT)
	p.mustEnd(0)
}

func TestTermInV4(t *testing.T) {
	t.Run("within the cap", func(t *testing.T) {
		r := newRigAt(t, slowScale)
		r.env = append(r.env, "AZPTEND_FAKEAGENT_PLAYS=v4")
		r.queue(patient)
		p := r.start()
		reached, release := r.hold("/feed")
		reached()
		release()
		p.signal(syscall.SIGTERM)
		if ev := r.await(emulator.EventJobFinished); ev.Result != "canceled" {
			t.Errorf("result %q", ev.Result)
		}
		p.mustEnd(0)
	})
	t.Run("past the cap", func(t *testing.T) {
		r := newRig(t)
		r.env = append(r.env, "AZPTEND_FAKEAGENT_PLAYS=v4")
		r.queue(patient)
		p := r.start()
		reached, release := r.hold("/feed")
		reached()
		release()
		_, release = r.hold("/events") // the worker cannot complete
		defer release()
		p.signal(syscall.SIGTERM)
		p.mustEnd(143)
	})
}

func TestTermInV5(t *testing.T) {
	r := newRig(t)
	r.queue(patient)
	p := r.start()
	reached, release := r.hold("/feed")
	reached()
	release()
	p.signal(syscall.SIGTERM)
	if s := p.ended(); s.Signal != syscall.SIGTERM {
		t.Errorf("ended with %v", s)
	}
	if r.has(emulator.EventSessionDeleted) || r.has(emulator.EventJobFinished) {
		t.Error("a v5 listener does not clean up")
	}
	if a := r.agent(); a.Session == nil || a.Version != Version {
		t.Errorf("agent %+v", a)
	}
	if n := p.child.KillTree(r.ctx); n == 0 {
		t.Error("the worker was not orphaned")
	}
}

func TestLockIsLost(t *testing.T) {
	r := newRig(t)
	r.fault(emulator.Fault{Method: "PATCH", Path: "/jobrequests/", Nth: 2, Status: 404, Body: `{"message":"gone","typeKey":"TaskAgentJobNotFoundException"}`})
	r.queue(patient)
	p := r.start("--once")
	p.mustEnd(0)
	mustMatch(t, p.stdout(), `Job the job completed with result: Abandoned\n$`)
}

func TestFirstRenewalFails(t *testing.T) {
	r := newRig(t)
	r.fault(emulator.Fault{Method: "PATCH", Path: "/jobrequests/", Status: 500})
	r.queue("echo never\n")
	p := r.start("--once")
	p.mustEnd(0)
	if strings.Contains(p.stdout(), "Running job") {
		t.Errorf("worked without a lock:\n%s", p.stdout())
	}
}

func TestWorkerDies(t *testing.T) {
	r := newRig(t)
	r.queue("kill -9 $PPID\n")
	p := r.start("--once")
	p.mustEnd(0)
	if ev := r.await(emulator.EventJobFinished); ev.Result != "failed" {
		t.Errorf("result %q", ev.Result)
	}
	mustMatch(t, p.stdout(), `completed with result: Failed\n$`)
}
