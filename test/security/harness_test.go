//go:build linux

package security

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// harness is one run of azptend with the thief as its job.
type harness struct {
	t            *testing.T
	ctx          context.Context
	network      *network
	emulator     *emulator.Emulator
	recorder     *recorder
	url          string
	began        time.Time
	dir          string // contains all directories; every user can enter it
	agent        string
	process      *process.Process
	seen         uint64
	secrets      map[string]string // by name
	env          []string
	metadataURL  string    // where a job could ask for a token; "" where the host has no such place
	underShell   bool      // a shell starts azptend and waits for it
	childPID     int       // azptend's, if underShell
	hook         []string  // a program to run as a preStop hook; nil: none
	hookPIDs     []int     // pids of started hooks
	external     bool      // the agent was registered elsewhere: azptend never calls its pool
	argvFindings []finding // secrets in command lines, as another user reads them
	healthPages  []byte    // what AZP_HEALTH_ADDR shows while a job runs
}

func newHarness(t *testing.T, where *network) *harness {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*timeout)
	t.Cleanup(cancel)
	e, err := emulator.New(emulator.Options{TimeScale: scale})
	check(t, err)
	r := &recorder{Handler: e}
	server := &httptest.Server{Listener: where.listen(t, "127.0.0.1:0"), Config: &http.Server{Handler: r}}
	server.Start()
	dir, err := os.MkdirTemp("/tmp", "azptend-thief-*") // other users cannot enter t.TempDir's parents
	check(t, err)
	h := &harness{t: t, ctx: ctx, network: where, emulator: e, recorder: r, url: server.URL, dir: dir, agent: filepath.Join(dir, "agent"),
		began: time.Now().Add(-time.Second), secrets: map[string]string{}}
	t.Cleanup(func() {
		if h.process != nil {
			h.process.Kill()
		}
		e.Close()
		server.Close()
		os.RemoveAll(dir)
	})
	check(t, os.Chmod(dir, 0o755))
	check(t, programs.LayOut(h.agent))
	for _, sub := range []string{"home", "flags"} {
		check(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	h.env = []string{
		"AZP_HEALTH_ADDR=127.0.0.1:0", "AZP_GRACE_PERIOD=60s", // the job outlasts the SIGTERM on slow machines too
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "AZP_LOG_LEVEL=debug",
		"AZP_AGENT_DIR=" + h.agent, "AZP_AGENT_NAME=attacked", "AZPTEND_FAKEAGENT_TIME_SCALE=20",
	}
	for _, v := range e.Environment(server.URL) {
		if strings.HasPrefix(v.Name, "AZP_") {
			h.env = append(h.env, v.Name+"="+v.Value)
		}
	}
	return h
}

// start starts azptend, or another program instead.
func (h *harness) start(a account, program string, args ...string) {
	h.t.Helper()
	if h.underShell {
		program, args = "/bin/sh", slices.Concat([]string{"-c", shellAbove, program}, args)
	}
	cmd := h.command(a, program, args...)
	h.chownAgent(a)
	check(h.t, onThread(func() (err error) {
		if err = h.network.enter(); err == nil {
			err = dropAllBut(a.caps)
		}
		if err == nil {
			h.process, err = process.Start(cmd)
		}
		return err
	}))
}

// shellAbove starts a program, waits for it, and forwards a SIGTERM, as an init does.
const shellAbove = `"$0" "$@" & p=$!; trap "kill -TERM $p" TERM; wait $p; wait $p`

// command returns a process of the container, with all its variables.
func (h *harness) command(a account, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = "/", h.env
	if a.jobs != "" {
		cmd.Env = append(slices.Clone(h.env), "AZP_RUN_AS="+a.jobs)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.uid)}
	}
	return cmd
}

// supervisor returns azptend's pid.
func (h *harness) supervisor() int {
	h.t.Helper()
	if !h.underShell {
		return h.process.Pid()
	}
	if h.childPID == 0 { // the first child; remembered, because it is needed after its exit too
		below := process.Descendants(h.process.Pid())
		if len(below) == 0 {
			h.fatalf("the shell has started nothing")
		}
		h.childPID = below[0]
	}
	return h.childPID
}

// startHook starts what a platform runs before it stops a container, and returns when
// azptend has received its request. The hook waits for azptend's exit.
func (h *harness) startHook(a account) {
	h.t.Helper()
	cmd := h.command(a, h.hook[0], h.hook[1:]...)
	out, err := cmd.StdoutPipe()
	check(h.t, err)
	check(h.t, onThread(func() error { return errors.Join(dropAllBut(a.caps), cmd.Start()) }))
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Asked agent") {
		h.fatalf("the hook says %q, %v", line, err)
	}
	h.hookPIDs = append(h.hookPIDs, cmd.Process.Pid)
}

func (h *harness) await(kind string) emulator.Event {
	h.t.Helper()
	e, err := h.emulator.WaitEvent(h.ctx, h.seen, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		h.fatalf("no %s: %v", kind, err)
	}
	h.seen = e.Seq
	return e
}

// says waits until azptend has logged a match of the pattern.
func (h *harness) says(pattern string) {
	h.t.Helper()
	if err := h.process.Says(h.ctx, regexp.MustCompile(pattern)); err != nil {
		h.fatalf("azptend does not say %q", pattern)
	}
}

func (h *harness) fatalf(format string, args ...any) {
	h.t.Helper()
	said := ""
	if h.process != nil {
		said = h.process.Output()
	}
	h.t.Fatalf(format+"\nazptend said:\n%s", append(args, said)...)
}

// hold stops azptend at one of its calls. The returned function waits for the call, runs
// do, and lets the call continue.
func (h *harness) hold(method, path string, do func()) (wait func()) {
	h.t.Helper()
	id, err := h.emulator.AddHold(emulator.Hold{Method: method, Path: path})
	check(h.t, err)
	return func() {
		h.t.Helper()
		if err := h.emulator.WaitHold(h.ctx, id); err != nil {
			h.fatalf("no %s %s: %v", method, path, err)
		}
		do()
		check(h.t, h.emulator.Release(id))
	}
}

// noteTokens adds the secrets that were created during the run.
func (h *harness) noteTokens() {
	managing, agents, _ := h.recorder.tokens()
	for i, token := range managing {
		h.secrets[fmt.Sprintf("managing token %d", i+1)] = token
	}
	for i, token := range agents {
		h.secrets[fmt.Sprintf("agent's token %d", i+1)] = token
	}
	var key struct{ D string }
	if b, err := os.ReadFile(filepath.Join(h.agent, ".credentials_rsaparams")); err == nil && json.Unmarshal(b, &key) == nil {
		h.secrets["agent's key"] = key.D
	}
}

// plan writes the file that tells the thief what to search for, and where.
func (h *harness) plan(name string, folders ...string) string {
	h.t.Helper()
	h.noteTokens()
	type maskedSecret struct {
		Name   string
		Masked []byte
	}
	var secrets []maskedSecret
	for name, secret := range h.secrets {
		masked := []byte(secret)
		for i := range masked {
			masked[i] = ^masked[i]
		}
		secrets = append(secrets, maskedSecret{name, masked})
	}
	b, err := json.Marshal(map[string]any{
		"Since": h.began, "Supervisor": h.supervisor(), "Hooks": h.hookPIDs, "Folders": folders, "Secrets": secrets, "Metadata": h.metadataURL,
	})
	check(h.t, err)
	path := filepath.Join(h.dir, name)
	check(h.t, os.WriteFile(path, b, 0o644))
	return path
}

// report is what a thief has printed.
type report struct {
	findings []finding
	end      struct {
		Done                     bool
		Processes, Files, Denied int
	}
}

type finding struct{ How, Where, What string }

func (f finding) String() string { return fmt.Sprintf("%s by %s in %s", f.What, f.How, f.Where) }

func (h *harness) parseReport(output string) report {
	h.t.Helper()
	var l report
	for line := range strings.Lines(output) {
		i := strings.IndexByte(line, '{')
		if i < 0 {
			continue
		}
		var f finding
		check(h.t, json.Unmarshal([]byte(line[i:]), &f))
		if f.How != "" {
			l.findings = append(l.findings, f)
			continue
		}
		check(h.t, json.Unmarshal([]byte(line[i:]), &l.end))
	}
	if !l.end.Done {
		h.fatalf("the thief was stopped; it said:\n%s", output)
	}
	return l
}

// runThief runs azptend once. All command lines are searched during registration and
// removal, and the job is the thief. The job outlasts the SIGTERM, whatever the thief has
// sent to azptend.
func (h *harness) runThief(a account, program string, args ...string) report {
	h.t.Helper()
	if h.external {
		h.start(a, program, args...)
	} else {
		registering := h.hold("POST", `/agents\?`, h.commandLines)
		h.start(a, program, args...)
		registering()
	}
	h.await(emulator.EventSessionCreated)
	folders := []string{h.agent, filepath.Join(h.dir, "home"), "/tmp", "/var/tmp", "/dev/shm", "/run"}
	l := h.job(1, h.plan("plan", folders...), func() {
		if h.hook != nil {
			h.await(emulator.EventJobStarted)
			h.startHook(a)
			h.plan("plan", folders...)
		}
	})
	h.healthPages = h.pages()
	h.drain(1)
	l.findings = slices.Concat(l.findings, h.publicFindings(), h.argvFindings)
	return l
}

// job queues the thief, runs the functions, starts the search, and leaves the job waiting.
func (h *harness) job(id int64, plan string, before ...func()) report {
	h.t.Helper()
	flags := filepath.Join(h.dir, "flags")
	script := fmt.Sprintf("while [ ! -e %[1]s/look ]; do sleep 0.05; done; %[2]s %[3]s || echo '{}'; while [ ! -e %[1]s/go-on ]; do sleep 0.05; done", flags, thief, plan)
	_, err := h.emulator.QueueJob(emulator.JobSpec{Name: "thief", Script: script, Force: true})
	check(h.t, err)
	for _, do := range before {
		do()
	}
	h.createFlag("look")
	_, log, err := h.emulator.WaitJob(h.ctx, id, func(j emulator.Job, log string) bool {
		return strings.Contains(log, `"done":true`) || j.Result != ""
	})
	if err != nil {
		h.fatalf("the thief does not end: %v\n%s", err, log)
	}
	return h.parseReport(log)
}

// createFlag creates a file that a script waits for.
func (h *harness) createFlag(name string) {
	h.t.Helper()
	check(h.t, os.WriteFile(filepath.Join(h.dir, "flags", name), nil, 0o644))
}

// drain ends azptend. The job must succeed, and the agent must be removed.
func (h *harness) drain(id int64) {
	h.t.Helper()
	removing := func() {}
	if !h.external {
		removing = h.hold("DELETE", `/agents/\d+`, h.commandLines)
	}
	check(h.t, h.process.Signal(syscall.SIGTERM))
	if h.external {
		h.says("msg=Draining")
	} else {
		h.await(emulator.EventAgentDisabled)
	}
	h.createFlag("go-on")
	if e := h.await(emulator.EventJobFinished); e.RequestID != id || e.Result != "succeeded" {
		h.fatalf("the job ended as %s", e.Result)
	}
	removing()
	if !h.external {
		h.await(emulator.EventAgentRemoved)
	}
	select {
	case <-h.process.Done():
	case <-h.ctx.Done():
		h.fatalf("azptend does not end")
	}
	if code := h.process.Code(); code != 0 {
		h.fatalf("azptend ended with %d", code)
	}
}

// commandLines searches the command lines of all processes.
func (h *harness) commandLines() {
	h.noteTokens()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		for name, secret := range h.secrets {
			if bytes.Contains(b, []byte(secret)) {
				h.argvFindings = append(h.argvFindings, finding{"argv, from outside", file, name})
			}
		}
	}
}

var pageURL = regexp.MustCompile(`page=(http://\S+)/`)

// pages returns the probes, the status and the metrics, as they can be read over the
// network. They are not read if azptend is in another network namespace, where they are the
// same.
func (h *harness) pages() []byte {
	h.t.Helper()
	if h.network != nil {
		return []byte("out of reach")
	}
	where := pageURL.FindStringSubmatch(h.process.Output())
	if where == nil {
		h.fatalf("nothing is shown")
	}
	var all []byte
	for _, path := range []string{"healthz", "readyz", "status", "metrics"} {
		resp, err := http.Get(where[1] + "/" + path)
		check(h.t, err)
		b, err := io.ReadAll(resp.Body)
		check(h.t, errors.Join(err, resp.Body.Close()))
		all = append(all, b...)
	}
	if !bytes.Contains(all, []byte("azptend_phase{")) {
		h.fatalf("no metrics are shown:\n%s", all)
	}
	return all
}

// publicFindings searches what people with access to the pool, the server, the container's
// log or the probes' address can read.
func (h *harness) publicFindings() []finding {
	h.t.Helper()
	dir := filepath.Join(h.dir, "public")
	check(h.t, os.Mkdir(dir, 0o700))
	said := h.process.Output()
	state, err := json.Marshal(h.emulator.State())
	check(h.t, err)
	_, _, sent := h.recorder.tokens()
	for name, b := range map[string][]byte{"log": []byte(said), "pool": state, "sent": sent, "pages": h.healthPages} {
		if len(b) == 0 {
			h.fatalf("there is no %s", name)
		}
		check(h.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	out, err := exec.CommandContext(h.ctx, thief, h.plan("public-plan", dir), "files").Output()
	check(h.t, err)
	l := h.parseReport(string(out))
	if l.end.Files != 4 {
		h.fatalf("the thief looked into %d public files", l.end.Files)
	}
	return l.findings
}
