//go:build linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestStatusOfShellsExitCode(t *testing.T) {
	for _, tt := range []struct {
		status Status
		code   int
		text   string
	}{
		{Status{}, 0, "exit code 0"},
		{Status{Code: 3}, 3, "exit code 3"},
		{Status{Signal: syscall.SIGTERM}, 143, "signal 15 (terminated)"},
		{Status{Signal: syscall.SIGKILL}, 137, "signal 9 (killed)"},
	} {
		if got := tt.status.ExitCode(); got != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.status, got, tt.code)
		}
		if got := tt.status.String(); got != tt.text {
			t.Errorf("says %q, want %q", got, tt.text)
		}
	}
}

func TestLastOfEachVariable(t *testing.T) {
	got := lastOfEachName([]string{"A=1", "B=2", "A=3", "EMPTY=", "NOVALUE", "C=x=y", "A=4"})
	if want := []string{"B=2", "EMPTY=", "NOVALUE", "C=x=y", "A=4"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var endsScene = withInit(func(h *host, init *Init) {
	for _, code := range []int{0, 1, 2, 126, 127, 128, 254, 255} {
		c := start(init, sh(fmt.Sprintf("exit %d", code)))
		<-c.Done()
		if got := c.Status(); got != (Status{Code: code}) || got.ExitCode() != code {
			h.Errorf("exit %d: %v", code, got)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGTERM} {
		if signal.Ignored(sig) { // the tests and the child run under nohup
			continue
		}
		c := start(init, sh(fmt.Sprintf("ulimit -c 0; kill -%d $$", int(sig))))
		<-c.Done()
		if got := c.Status(); got.Signal != sig || got.ExitCode() != 128+int(sig) {
			h.Errorf("death by %v: %v", sig, got)
		}
	}
})

func init() { hosts["TestStatusOfEachEnd"] = endsScene }

func TestStatusOfEachEnd(t *testing.T) { runScene(t, endsScene) }

var isolatedScene = withInit(func(h *host, init *Init) {
	os.Setenv("IDENTITY_HEADER", "the host's own secret")
	out := func(s Spec) string {
		text, status, err := init.Output(h.ctx, s)
		if err != nil || status != (Status{}) {
			h.Errorf("%v: %v, %v", s.Args, status, err)
		}
		return strings.TrimSpace(text)
	}
	env := Spec{Path: "/usr/bin/env", Env: []string{"A=1", "B=2", "A=3"}}
	if got := out(env); got != "B=2\nA=3" {
		h.Errorf("environment is\n%s", got)
	}
	if got := out(Spec{Path: "/usr/bin/env"}); got != "" {
		h.Errorf("environment is\n%s\nwant none", got)
	}
	if got := out(sh("readlink /proc/self/fd/0; cat; pwd")); got != "/dev/null\n/" {
		h.Errorf("stdin and directory are %q, want /dev/null and /", got)
	}
	if got := out(Spec{Path: "/bin/sh", Args: []string{"-c", "pwd"}, Dir: "/usr"}); got != "/usr" {
		h.Errorf("directory is %q, want /usr", got)
	}
	if got := out(sh(`cut -d' ' -f1,5 /proc/$$/stat`)); len(strings.Fields(got)) != 2 || strings.Fields(got)[0] != strings.Fields(got)[1] {
		h.Errorf("pid and group are %q, want the same", got)
	}
	// No other descriptor of the host is open in the child.
	extra, w := pipe()
	defer extra.Close()
	defer w.Close()
	s := sh("for d in 4 5 6 7 8 9; do [ -e /proc/$$/fd/$d ] && echo $d; done; readlink /proc/$$/fd/3")
	s.Extra = []*os.File{w}
	if got := out(s); !strings.HasPrefix(got, "pipe:[") {
		h.Errorf("open descriptors are %q, want the pipe alone", got)
	}
})

func init() { hosts["TestChildInheritsOnlyItsSpec"] = isolatedScene }

func TestChildInheritsOnlyItsSpec(t *testing.T) { runScene(t, isolatedScene) }

var signalScene = withInit(func(h *host, init *Init) {
	r, w := pipe()
	// The shell must get the signal, and the program in its group must not.
	s := sh("sleep 60 & trap 'echo heard >&3; kill $!; exit 7' TERM; echo $$ >&3; wait")
	s.Extra = []*os.File{w}
	c := start(init, s)
	if pid := pidFrom(r); pid != c.Pid() {
		h.Errorf("pid is %d, Pid says %d", pid, c.Pid())
	}
	must(0, c.Signal(syscall.SIGTERM))
	if line := must(readLine(r)); line != "heard" {
		h.Errorf("the child says %q", line)
	}
	<-c.Done()
	if got := c.Status(); got.Code != 7 {
		h.Errorf("%v, want exit code 7", got)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		h.Errorf("signal after the end: %v", err)
	}
	untilOrphans(init, 1) // the sleep
})

func init() { hosts["TestSignal"] = signalScene }

func TestSignal(t *testing.T) { runScene(t, signalScene) }

var outputScene = withInit(func(h *host, init *Init) {
	out, status, err := init.Output(h.ctx, sh("echo 4.273.0; exit 3"))
	if out != "4.273.0\n" || status.Code != 3 || err != nil {
		h.Errorf("output %q, %v, %v", out, status, err)
	}
	// A program that prints more than maxOutput must still exit.
	out, status, err = init.Output(h.ctx, sh("head -c 300000 /dev/zero; exit 4"))
	if len(out) != maxOutput || status.Code != 4 || err != nil {
		h.Errorf("output of %d bytes, %v, %v", len(out), status, err)
	}
	if _, _, err := init.Output(h.ctx, Spec{Path: "/nowhere"}); !errors.Is(err, syscall.ENOENT) {
		h.Errorf("%v, want %v", err, syscall.ENOENT)
	}
})

func init() { hosts["TestOutput"] = outputScene }

func TestOutput(t *testing.T) { runScene(t, outputScene) }

// errEnough is the cause with which the scenes below cancel a context.
var errEnough = errors.New("that was long enough")

var outputEndsScene = withInit(func(h *host, init *Init) {
	ctx, cancel := context.WithCancelCause(h.ctx)
	r, w := pipe()
	s := testProgram("double")
	s.Extra = []*os.File{w}
	daemon := make(chan int, 1)
	go func() { daemon <- pidFrom(r); cancel(errEnough) }()
	_, _, err := init.Output(ctx, s)
	if !errors.Is(err, errEnough) {
		h.Errorf("%v, want %v", err, errEnough)
	}
	w.Close()
	untilOrphans(init, 2)
	if pid := <-daemon; alive(pid) {
		h.Errorf("the process that the program started still runs")
	}
	init.untilNone()
})

// untilNone waits until all started children were reaped.
func (i *Init) untilNone() {
	for {
		soon := i.nextReap()
		i.mu.Lock()
		n := len(i.children)
		i.mu.Unlock()
		if n == 0 {
			return
		}
		<-soon
	}
}

func init() { hosts["TestOutputEndsWithItsContext"] = outputEndsScene }

func TestOutputEndsWithItsContext(t *testing.T) { runScene(t, outputEndsScene) }

// The program exits at once, and a process that it started has its standard output open.
var outputHeldScene = withInit(func(h *host, init *Init) {
	ctx, cancel := context.WithCancelCause(h.ctx)
	r, w := pipe()
	s := sh("sleep 60 & echo $! >&3")
	s.Extra = []*os.File{w}
	pid := make(chan int, 1)
	go func() { p := pidFrom(r); cancel(errEnough); pid <- p }()
	_, _, err := init.Output(ctx, s)
	if !errors.Is(err, errEnough) {
		h.Errorf("%v, want %v", err, errEnough)
	}
	w.Close()
	// KillTree did not kill it if the shell had exited before the context ended.
	_ = syscall.Kill(<-pid, syscall.SIGKILL)
	untilOrphans(init, 1)
	init.untilNone()
})

func init() { hosts["TestOutputDoesNotWaitForOtherWriters"] = outputHeldScene }

func TestOutputDoesNotWaitForOtherWriters(t *testing.T) { runScene(t, outputHeldScene) }

// A write to a log that nobody reads any more must not kill azptend.
func brokenPipe(h *host) {
	_, stop := CatchSignals()
	defer stop()
	if _, err := io.WriteString(os.Stdout, "is anybody there?\n"); !errors.Is(err, syscall.EPIPE) {
		h.Errorf("write to a closed pipe: %v", err)
	}
}

func init() { hosts["TestClosedStdoutDoesNotKill"] = brokenPipe }

func TestClosedStdoutDoesNotKill(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var output strings.Builder
	cmd := hostCommand(t, brokenPipe)
	cmd.Stdout, cmd.Stderr = w, &output
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%v\n%s", err, output.String())
	}
}
