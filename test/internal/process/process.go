package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a process that a test started.
type Process struct {
	cmd    *exec.Cmd
	output OutputOptions
	done   chan struct{}
	ended  time.Time

	mu      sync.Mutex
	said    bytes.Buffer  // both streams, as on a terminal
	more    chan struct{} // closed when there is more output
	muted   bool          // its output is not read
	unmuted *sync.Cond
}

// OutputOptions is how a process's output is read. The zero value keeps all of it.
type OutputOptions struct {
	// Keep returns what to keep of a chunk; kept is how many bytes are kept already.
	Keep func(kept int, chunk []byte) []byte
	// Linger is how long output is read after the process's exit. 0 means until all writers
	// have exited, or for a process that was killed not at all, because processes that it left
	// may run long.
	Linger time.Duration
}

// Command is a program to run. When the context ends, its process group is killed.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Start starts a process and reads what it prints.
func Start(cmd *exec.Cmd) (*Process, error) { return StartWith(cmd, OutputOptions{}) }

// StartWith starts a process and reads its output as output says.
func StartWith(cmd *exec.Cmd, output OutputOptions) (*Process, error) {
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
	a := &Process{cmd: cmd, output: output, done: make(chan struct{}), more: make(chan struct{})}
	a.unmuted = sync.NewCond(&a.mu)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		a.listen(r)
	}()
	go func() {
		defer close(a.done)
		_ = cmd.Wait()
		a.ended = time.Now()
		a.mute(false) // read the rest of the pipe
		switch {
		case output.Linger > 0:
			select {
			case <-read:
			case <-time.After(output.Linger):
			}
		case a.Code() != 128+int(syscall.SIGKILL):
			<-read
		}
	}()
	return a, nil
}

func (a *Process) listen(r io.Reader) {
	chunk := make([]byte, 64<<10)
	for {
		a.mu.Lock()
		for a.muted {
			a.unmuted.Wait()
		}
		a.mu.Unlock()
		n, err := r.Read(chunk)
		a.store(chunk[:n])
		if err != nil {
			return
		}
	}
}

func (a *Process) store(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.output.Keep != nil {
		b = a.output.Keep(a.said.Len(), b)
	}
	a.said.Write(b)
	close(a.more)
	a.more = make(chan struct{})
}

// Mute stops reading the process's output until its exit.
func (a *Process) Mute() { a.mute(true) }

func (a *Process) mute(muted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.muted = muted
	a.unmuted.Broadcast()
}

// Pid is the process id.
func (a *Process) Pid() int { return a.cmd.Process.Pid }

// Done is closed when the process has exited, and its output was read as Output says.
func (a *Process) Done() <-chan struct{} { return a.done }

// Ended is when the process exited, once Done is closed.
func (a *Process) Ended() time.Time { return a.ended }

// Code is the exit code that a shell would show, once Done is closed.
func (a *Process) Code() int { return ExitCode(a.cmd.ProcessState) }

// WhileRunning is a context that ends with the process.
func (a *Process) WhileRunning(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-a.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Output is the output that was kept so far.
func (a *Process) Output() string {
	text, _ := a.heard()
	return text
}

func (a *Process) heard() (string, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said.String(), a.more
}

// Says waits until the output matches. The error has the output.
func (a *Process) Says(ctx context.Context, what *regexp.Regexp) error {
	for {
		text, more := a.heard()
		if what.MatchString(text) {
			return nil
		}
		select {
		case <-more:
		case <-a.done:
			if text := a.Output(); !what.MatchString(text) {
				return fmt.Errorf("it ended without saying %q; it said:\n%s", what, text)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("it does not say %q; it said:\n%s", what, text)
		}
	}
}

// Signal sends a signal to the process, not to its group. After its exit it sends nothing.
func (a *Process) Signal(s syscall.Signal) error { return a.cmd.Process.Signal(s) }

// Kill kills the process and all below it, because a listener has a group of its own.
func (a *Process) Kill() {
	select {
	case <-a.done: // it has exited, and another process may have its pid
		return
	default:
	}
	for _, pid := range append(Descendants(a.Pid()), a.Pid()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-a.done
}

// ExitCode is the code that a shell would show: 128+n if signal n killed the process.
func ExitCode(state *os.ProcessState) int {
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// WatchMemory samples the process's peak resident memory in bytes until it exits. wait4 is not
// used, because its value includes the memory of the process that started it.
func (a *Process) WatchMemory() (most func() int) {
	var peak atomic.Int64
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), int64(peakMemory(a.Pid()))))
			select {
			case <-tick.C:
			case <-a.done:
				return
			}
		}
	}()
	return func() int { return int(peak.Load()) }
}

// peakMemory is a child's peak memory in bytes; 0 after its exit.
func peakMemory(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, found := strings.Cut(string(b), "VmHWM:")
	if err != nil || !found || !strings.Contains(string(b), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
		return 0
	}
	var kb int
	_, _ = fmt.Sscan(rest, &kb)
	return kb << 10
}
