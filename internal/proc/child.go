//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Spec says what to start. The environment is exactly Env: nothing of
// azptend's own is inherited, for it may hold the way to an identity. Where Env
// names a variable twice the later one counts.
type Spec struct {
	Path   string   // the program's file; no PATH look-up
	Args   []string // the arguments after argv[0]
	Env    []string // "NAME=value"
	Dir    string   // working directory; empty means "/", so that no mount is pinned
	Stdout *os.File // nil means /dev/null; passed on as it is, nothing is copied
	Stderr *os.File
	Extra  []*os.File // become descriptors 3, 4, …
	User   *User      // without any privilege, and without a way to get one; nil: as this process
	// OwnsOrphan says whether an orphan, by its environment, descends from the child,
	// where the Init has several whose orphans are not to be mistaken: KillTree
	// leaves the others alone. Nil: every orphan is the child's.
	OwnsOrphan func(Info) bool
}

// ErrProcessEnded is that of a process which has ended nothing can be learned any more.
var ErrProcessEnded = errors.New("the process has ended")

// Child is a process that an Init started. Its standard input is /dev/null and
// it leads a process group of its own, so that a terminal's signals for azptend
// do not reach it.
type Child struct {
	init       *Init
	pid        int
	user       *User
	ownsOrphan func(Info) bool // see Spec
	done       chan struct{}
	status     Status // set before done is closed
}

// Status is how a process ended: by itself with Code, or killed by Signal.
type Status struct {
	Code   int
	Signal syscall.Signal // 0 when it ended by itself
}

// ExitCode is the code a shell would show: 128+n for a death by signal n. Go's
// own ExitCode is -1 there, which would become 255.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

func (s Status) String() string {
	if s.Signal != 0 {
		return fmt.Sprintf("signal %d (%s)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("exit code %d", s.Code)
}

func statusOf(ws syscall.WaitStatus) Status {
	if ws.Signaled() {
		return Status{Signal: ws.Signal()}
	}
	return Status{Code: ws.ExitStatus()}
}

// lastOfEachName leaves out every variable that a later one replaces: a program that
// meets a name twice takes the first (glibc, .NET), and whoever appends to an
// environment means the last.
func lastOfEachName(env []string) []string {
	seen := map[string]bool{}
	var last []string
	for _, pair := range slices.Backward(env) {
		name, _, _ := strings.Cut(pair, "=")
		if !seen[name] {
			seen[name] = true
			last = append(last, pair)
		}
	}
	slices.Reverse(last)
	return last
}

// Pid is the process id; it stays the child's until Done is closed.
func (c *Child) Pid() int { return c.pid }

// Done is closed when the process has ended and was reaped.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status is how the process ended. It is only meaningful once Done is closed.
func (c *Child) Status() Status { return c.status }

// Signal sends sig to the process alone, not to its group. A process that has
// ended is no error: it is what most signals are for.
func (c *Child) Signal(sig syscall.Signal) error {
	// Under the lock the pid cannot be reaped, so it cannot be somebody else's.
	c.init.mu.Lock()
	defer c.init.mu.Unlock()
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := syscall.Kill(c.pid, sig); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, c.pid, err)
	}
	return nil
}

const (
	// maxOutput bounds what Output keeps of a program's standard output.
	maxOutput = 64 << 10
	// abandonedKillTimeout bounds the killing of a program that took too long.
	abandonedKillTimeout = 5 * time.Second
)

// Output runs a program to its end and returns its standard output, of which it
// keeps the first maxOutput bytes. When ctx ends first, the program and all below
// it are killed.
func (i *Init) Output(ctx context.Context, s Spec) (string, Status, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", Status{}, fmt.Errorf("cannot read from %s: %w", s.Path, err)
	}
	defer r.Close()
	s.Stdout = w
	c, err := i.StartContext(ctx, s)
	w.Close()
	if err != nil {
		return "", Status{}, err
	}
	read := make(chan string, 1)
	go func() {
		kept, _ := io.ReadAll(io.LimitReader(r, maxOutput))
		_, _ = io.Copy(io.Discard, r) // or the program would wait for a reader
		read <- string(kept)
	}()
	select {
	case <-c.Done():
	case <-ctx.Done():
		killing, done := context.WithTimeout(context.WithoutCancel(ctx), abandonedKillTimeout)
		defer done()
		c.KillTree(killing)
		return "", Status{}, fmt.Errorf("cannot wait for %s: %w", filepath.Base(s.Path), context.Cause(ctx))
	}
	select {
	case out := <-read:
		return out, c.Status(), nil
	case <-ctx.Done(): // something it started keeps the pipe open
		return "", c.Status(), fmt.Errorf("cannot read from %s: %w", filepath.Base(s.Path), context.Cause(ctx))
	}
}
