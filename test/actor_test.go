package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/config"
)

// actor is a process that a script started.
type actor struct {
	cmd  *exec.Cmd
	out  *transcript // both streams: what a person at a terminal sees
	done chan struct{}
	err  error
}

// kill ends it and all below it: a listener is in a group of its own.
func (a *actor) kill() {
	below := descendants(a.cmd.Process.Pid)
	for _, pid := range append(below, a.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-a.done
}

// killAllIn ends every process whose program is in a folder: what a killed
// azptend has left.
func killAllIn(dir string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(program, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// transcript is what an actor has said, and wakes those who wait for more.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.more)
	t.more = make(chan struct{})
	return t.text.Write(p)
}

func (t *transcript) read() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String(), t.more
}

// cmdStart starts a process: start NAME PROGRAM [ARG...].
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM [ARG...]")
	}
	s := stageOf(ts)
	program := args[1]
	if program == "azptend" {
		program = binary
	}
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range append(strings.Fields(ts.Getenv("KEEP")), inherited()...) {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = w, w
	ts.Check(cmd.Start())
	w.Close()
	a := &actor{cmd: cmd, out: &transcript{more: make(chan struct{})}, done: make(chan struct{})}
	s.actors[args[0]] = a
	var copied sync.WaitGroup
	copied.Add(1)
	go func() { defer copied.Done(); _, _ = io.Copy(a.out, r); r.Close() }()
	go func() {
		defer close(a.done)
		if a.err = cmd.Wait(); exitCode(cmd.ProcessState) != 128+int(syscall.SIGKILL) {
			copied.Wait()
		} // else what it left running may say more, and for long
	}()
}

// inherited are the variables that an actor gets from its script, when they are
// set: a container has no others.
func inherited() []string {
	names := []string{
		"PATH", "HOME", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "CONTAINER_APP_NAME",
		"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE",
		"AZPTEND_STANDIN_TIME_SCALE", "AZPTEND_STANDIN_PLAYS", "AZPTEND_STANDIN_EXIT", "AZPTEND_STANDIN_EXIT_AFTER",
	}
	for _, row := range config.Table() {
		names = append(names, row.Env)
	}
	return names
}

func (s *stage) actor(ts *testscript.TestScript, name string) *actor {
	a := s.actors[name]
	if a == nil {
		ts.Fatalf("nobody is called %s", name)
	}
	return a
}

// command is a program to run, whose whole group ends with ctx.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// cmdSignal sends a signal: signal TERM NAME; NAME/child is NAME's only child.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"KILL": syscall.SIGKILL, "USR1": syscall.SIGUSR1, "URG": syscall.SIGURG, "WINCH": syscall.SIGWINCH,
		"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}
	if neg || len(args) != 2 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|INT|HUP|QUIT|KILL|USR1|URG|WINCH|STOP|CONT NAME")
	}
	name, child := strings.CutSuffix(args[1], "/child")
	pid := stageOf(ts).actor(ts, name).cmd.Process.Pid
	if child {
		pid = descendants(pid)[0]
	}
	ts.Check(syscall.Kill(pid, signals[args[0]]))
}

// cmdEnds waits for a process to end with a code, and writes what it said to
// NAME.log for grep: ends NAME CODE.
func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	a := stageOf(ts).actor(ts, args[0])
	ctx, cancel := inTime()
	defer cancel()
	select {
	case <-a.done:
	case <-ctx.Done():
		text, _ := a.out.read()
		ts.Fatalf("%s does not end; it said:\n%s", args[0], text)
	}
	text, _ := a.out.read()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), []byte(text), 0o600))
	ts.Logf("%s", text)
	if code := exitCode(a.cmd.ProcessState); fmt.Sprint(code) != args[1] {
		ts.Fatalf("%s ended with %d, want %s", args[0], code, args[1])
	}
}

func exitCode(state *os.ProcessState) int {
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// cmdSays waits until a process has said something: says NAME REGEXP.
func cmdSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: says NAME REGEXP")
	}
	a := stageOf(ts).actor(ts, args[0])
	what := regexp.MustCompile(words(args[1:]))
	ctx, cancel := inTime()
	defer cancel()
	for {
		text, more := a.out.read()
		if what.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-a.done:
			if text, _ := a.out.read(); !what.MatchString(text) {
				ts.Fatalf("%s ended without saying %q; it said:\n%s", args[0], what, text)
			}
			return
		case <-ctx.Done():
			ts.Fatalf("%s does not say %q; it said:\n%s", args[0], what, text)
		}
	}
}
