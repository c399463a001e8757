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

// Spec says what to start. The environment is exactly Env: azptend's own is not inherited,
// because it may lead to an identity. If Env has a variable twice, the later one counts.
type Spec struct {
	Path   string   // the program's file; no PATH look-up
	Args   []string // the arguments after argv[0]
	Env    []string // "NAME=value"
	Dir    string   // working directory; empty means "/", so that no mount is pinned
	Stdout *os.File // nil means /dev/null; passed on as it is, without copying
	Stderr *os.File
	Extra  []*os.File // become descriptors 3, 4, …
	User   *User      // the child runs as this user, without privileges; nil: as this process
	// OwnsOrphan says whether an orphan descends from the child, according to its
	// environment. It is needed for an Init with several children: KillTree does not kill
	// the other orphans. nil: every orphan is the child's.
	OwnsOrphan func(Info) bool
}

// ErrProcessEnded says that the process has ended, so that its connections are unknown.
var ErrProcessEnded = errors.New("the process has ended")

// watched is a process that is watched until it ends.
type watched struct {
	pid    int
	done   chan struct{}
	status Status // set before done is closed
}

// Pid is the process id. A child keeps it until Done is closed.
func (w *watched) Pid() int { return w.pid }

// Done is closed when the process has ended. A child has been reaped by then.
func (w *watched) Done() <-chan struct{} { return w.done }

// Status is how a child ended, once Done is closed. It is the zero value for other
// processes: only the parent gets the status.
func (w *watched) Status() Status { return w.status }

// Child is a process that an Init started. Its standard input is /dev/null. It leads
// a process group of its own, so that a terminal's signals for azptend do not reach
// it.
type Child struct {
	watched
	init       *Init
	user       *User
	ownsOrphan func(Info) bool // see Spec
}

// Status is how a process ended: by itself with Code, or killed by Signal.
type Status struct {
	Code   int
	Signal syscall.Signal // 0 when it ended by itself
}

// ExitCode is the code that a shell would show: 128+n if signal n killed the process. Go's
// os.ProcessState has -1 then, which would become 255.
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

// lastOfEachName keeps only the last variable of each name. A program that finds a name
// twice takes the first (glibc, .NET), but code that appends to an environment means the
// last.
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

// Signal sends sig to the process, not to its group. It returns nil if the process has
// ended.
func (c *Child) Signal(sig syscall.Signal) error {
	// While the lock is held, the process cannot be reaped, so no other can get its pid.
	c.init.mu.Lock()
	defer c.init.mu.Unlock()
	if isClosed(c.done) {
		return nil
	}
	if err := syscall.Kill(c.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, c.pid, err)
	}
	return nil
}

const (
	// maxOutput is how many bytes of a program's standard output Output returns.
	maxOutput = 64 << 10
	// abandonedKillTimeout bounds the KillTree of a program that took too long.
	abandonedKillTimeout = 5 * time.Second
)

// Output runs a program to its end and returns the first maxOutput bytes of its
// standard output. If ctx ends first, the program and everything below it are killed.
func (i *Init) Output(ctx context.Context, s Spec) (string, Status, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", Status{}, fmt.Errorf("cannot read from %s: %w", s.Path, err)
	}
	defer r.Close()
	s.Stdout = w
	c, err := i.Start(ctx, s)
	w.Close()
	if err != nil {
		return "", Status{}, err
	}
	read := make(chan string, 1)
	go func() {
		kept, _ := io.ReadAll(io.LimitReader(r, maxOutput))
		_, _ = io.Copy(io.Discard, r) // otherwise the program blocks when the pipe is full
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
	case <-ctx.Done(): // a process that it started has the pipe open
		return "", c.Status(), fmt.Errorf("cannot read from %s: %w", filepath.Base(s.Path), context.Cause(ctx))
	}
}
