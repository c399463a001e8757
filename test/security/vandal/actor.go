package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// azptend is one that was started.
type azptend struct {
	cmd   *exec.Cmd
	out   *os.File
	done  chan struct{}
	asked time.Time // when it got SIGTERM; zero: never

	mu    sync.Mutex
	said  bytes.Buffer
	deaf  bool // nobody reads its output any more
	more  chan struct{}
	ended time.Time
	peak  int // kB of memory
}

// mostSaid is how much of an azptend's output is kept: an attack can make it
// print for ever.
const mostSaid = 4 << 20

// noise marks lines that the vandal itself makes azptend print.
const noise = "vandal-noise"

func startAzptend(cmd *exec.Cmd) (*azptend, error) {
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
	a := &azptend{cmd: cmd, out: r, done: make(chan struct{}), more: make(chan struct{})}
	heard := make(chan struct{})
	go func() { defer close(heard); a.listen() }()
	go a.sample()
	go func() {
		defer close(a.done)
		_ = cmd.Wait()
		a.mu.Lock()
		a.ended = time.Now()
		wake := a.deaf
		a.deaf = false
		a.mu.Unlock()
		if wake { // what the pipe still holds
			heard = make(chan struct{})
			go func() { defer close(heard); a.listen() }()
		}
		// Something that it left running may hold the pipe open.
		_ = r.SetReadDeadline(time.Now().Add(2 * time.Second))
		<-heard
		r.Close()
	}()
	return a, nil
}

// listen reads what azptend prints, until nobody shall.
func (a *azptend) listen() {
	chunk := make([]byte, 64<<10)
	for {
		a.mu.Lock()
		deaf := a.deaf
		a.mu.Unlock()
		if deaf {
			return
		}
		n, err := a.out.Read(chunk)
		a.hear(chunk[:n])
		if err != nil {
			return
		}
	}
}

func (a *azptend) hear(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said.Len() < mostSaid && !bytes.Contains(b, []byte(noise)) {
		a.said.Write(b)
	} else {
		for line := range bytes.Lines(b) {
			if !bytes.Contains(line, []byte(noise)) && bytes.Contains(line, []byte("level=")) && a.said.Len() < 2*mostSaid {
				a.said.Write(line)
			}
		}
	}
	close(a.more)
	a.more = make(chan struct{})
}

// mute leaves azptend's output unread until its end.
func (a *azptend) mute() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deaf = true
}

// sample notes the most memory that azptend has had. The kernel's number only
// grows, so that the last one counts.
func (a *azptend) sample() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid()))
		// The number may be another process's soon after azptend's end.
		ours := strings.Contains(string(b), fmt.Sprintf("PPid:\t%d\n", os.Getpid()))
		if _, rest, found := strings.Cut(string(b), "VmHWM:"); err == nil && ours && found {
			var kb int
			if n, _ := fmt.Sscan(rest, &kb); n == 1 {
				a.mu.Lock()
				a.peak = max(a.peak, kb)
				a.mu.Unlock()
			}
		}
		select {
		case <-tick.C:
		case <-a.done:
			return
		}
	}
}

func (a *azptend) pid() int { return a.cmd.Process.Pid }

func (a *azptend) alive() bool {
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// code is the exit code that a shell would show, once done is closed.
func (a *azptend) code() int { return process.ExitCode(a.cmd.ProcessState) }

// heard is what azptend has said so far, and a channel that is closed when it
// says more.
func (a *azptend) heard() (string, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said.String(), a.more
}

// term sends SIGTERM, which starts the clock.
func (a *azptend) term() {
	if a.alive() && a.asked.IsZero() {
		a.asked = time.Now()
		a.signal(syscall.SIGTERM)
	}
}

// wait waits for the end, for so long at most.
func (a *azptend) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.done:
		return true
	case <-timer.C:
		return false
	}
}

// signal sends a signal to azptend, and to nobody else: os.Process knows when its
// number may be another's.
func (a *azptend) signal(s syscall.Signal) { _ = a.cmd.Process.Signal(s) }

// kill ends azptend. What was below it is found by other means.
func (a *azptend) kill() {
	a.signal(syscall.SIGKILL)
	<-a.done
}
