package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// Actor is a process that a test has started.
type Actor struct {
	cmd   *exec.Cmd
	out   *transcript // both streams: what a person at a terminal sees
	done  chan struct{}
	ended time.Time
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

// Command is a program to run. The context's end kills its process group.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Act starts a process and listens to what it says.
func Act(cmd *exec.Cmd) (*Actor, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	a := &Actor{cmd: cmd, out: &transcript{more: make(chan struct{})}, done: make(chan struct{})}
	var copied sync.WaitGroup
	copied.Go(func() { ; _, _ = io.Copy(a.out, r); r.Close() })
	go func() {
		defer close(a.done)
		_ = cmd.Wait()
		a.ended = time.Now()
		if ExitCode(cmd.ProcessState) != 128+int(syscall.SIGKILL) {
			copied.Wait()
		} // else what it left running may say more, and for long
	}()
	return a, nil
}

// Pid is the process's.
func (a *Actor) Pid() int { return a.cmd.Process.Pid }

// Done is closed when the process has ended, and, unless it was killed, all that
// it said was heard.
func (a *Actor) Done() <-chan struct{} { return a.done }

// Ended is when that was; it means something once Done is closed.
func (a *Actor) Ended() time.Time { return a.ended }

// Code is the exit code a shell would show, once Done is closed.
func (a *Actor) Code() int { return ExitCode(a.cmd.ProcessState) }

// Said is all that the process has said so far.
func (a *Actor) Said() string {
	text, _ := a.out.read()
	return text
}

// Says waits until the process has said something. The error has what it said
// instead.
func (a *Actor) Says(ctx context.Context, what *regexp.Regexp) error {
	for {
		text, more := a.out.read()
		if what.MatchString(text) {
			return nil
		}
		select {
		case <-more:
		case <-a.done:
			if text := a.Said(); !what.MatchString(text) {
				return fmt.Errorf("it ended without saying %q; it said:\n%s", what, text)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("it does not say %q; it said:\n%s", what, text)
		}
	}
}

// Signal sends a signal to the process alone.
func (a *Actor) Signal(s syscall.Signal) error { return syscall.Kill(a.Pid(), s) }

// Kill ends it and all below it: a listener is in a group of its own.
func (a *Actor) Kill() {
	select {
	case <-a.done: // nothing is below it, and its number may be another's
		return
	default:
	}
	for _, pid := range append(Descendants(a.Pid()), a.Pid()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-a.done
}

// ExitCode is the code a shell would show: 128+n for a death by signal n.
func ExitCode(state *os.ProcessState) int {
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
