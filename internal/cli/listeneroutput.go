package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/logqueue"
	"github.com/azptend/azptend/internal/supervisor"
)

// This file passes on what an agent's listener prints. The listener does not write
// to azptend's own streams: one that nobody reads would block it in the middle of
// a job, and azptend's drain with it. It writes to a pipe that azptend always
// reads.

// pipeOutput gives the listener of an agent pipes to print to. A single agent's lines
// come out as they are, in a log for people. Else each is a line of the log, which
// says whose it is. The returned function ends that.
func pipeOutput(p Process, s config.Settings, o *supervisor.Options) (done func()) {
	log := newLog(p.redactor.Writer(p.errors.LowPriority()), s)
	if o.Shared {
		log = slog.New(&agentLogHandler{Handler: log.Handler(), agent: o.Name})
	}
	toLog := func(line []byte) {
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			log.Info("The listener says", "line", text)
		}
	}
	asItIs := func(stream *logqueue.Queue) func([]byte) {
		w := p.redactor.Writer(stream.LowPriority())
		return func(line []byte) { _, _ = w.Write(line) }
	}

	var pipes []*outputPipe
	open := func(pass func([]byte)) *os.File {
		pipe, w, err := openOutputPipe(pass)
		if err != nil {
			o.Log.Warn("Cannot read what the listener prints: its lines are lost", "error", err)
			return nil
		}
		pipes = append(pipes, pipe)
		return w
	}
	switch plain := !o.Shared && s.LogFormat == "text"; {
	case !plain:
		o.Stdout = open(toLog)
		o.Stderr = o.Stdout
	case p.prints == p.errors: // one pipe keeps the order of both
		o.Stdout = open(asItIs(p.errors))
		o.Stderr = o.Stdout
	default:
		o.Stdout, o.Stderr = open(asItIs(p.prints)), open(asItIs(p.errors))
	}
	o.FlushOutput = func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushOutputTimeout)
		defer cancel()
		for _, pipe := range pipes {
			pipe.flush(ctx)
		}
	}
	return func() {
		o.FlushOutput()
		for _, pipe := range pipes {
			pipe.close()
		}
	}
}

const (
	// flushOutputTimeout bounds the wait for what a listener has printed: something that
	// it started may have the pipe too, and print on and on.
	flushOutputTimeout = 200 * time.Millisecond
	// maxLine bounds a line of the log, in bytes. Of a longer one the rest is a
	// line of its own.
	maxLine = 4096
)

// outputPipe is a pipe that a listener prints to.
type outputPipe struct {
	r, w  *os.File
	conn  syscall.RawConn // of r
	ended chan struct{}

	mu      sync.Mutex
	empty   bool          // all that was read has been passed on, and nothing was left
	emptied chan struct{} // closed and replaced when that becomes so
}

// openOutputPipe makes a pipe, and passes on each line that comes out of it.
func openOutputPipe(pass func(line []byte)) (*outputPipe, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &outputPipe{r: r, w: w, ended: make(chan struct{}), emptied: make(chan struct{})}
	if p.conn, err = r.SyscallConn(); err != nil {
		r.Close()
		w.Close()
		return nil, nil, err
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewReaderSize(p, maxLine)
		for {
			line, err := lines.ReadSlice('\n')
			if len(line) > 0 {
				pass(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
	return p, w, nil
}

// Read reads from the pipe. A call for more means that everything it returned before
// has been passed on.
func (p *outputPipe) Read(b []byte) (n int, err error) {
	waited := p.conn.Read(func(fd uintptr) (done bool) {
		p.mu.Lock() // so that no line is on its way from the pipe unnoticed
		defer p.mu.Unlock()
		for n, err = unix.Read(int(fd), b); errors.Is(err, unix.EINTR); {
			n, err = unix.Read(int(fd), b)
		}
		if p.empty = errors.Is(err, unix.EAGAIN); !p.empty {
			return true
		}
		close(p.emptied)
		p.emptied = make(chan struct{})
		return false
	})
	switch {
	case waited != nil:
		return 0, waited
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), err
}

// flush waits until all that is in the pipe has been passed on, or ctx ends.
func (p *outputPipe) flush(ctx context.Context) {
	for {
		p.mu.Lock()
		passed, emptied := p.empty && !p.readable(), p.emptied
		p.mu.Unlock()
		if passed {
			return
		}
		select {
		case <-emptied:
		case <-p.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *outputPipe) readable() (is bool) {
	_ = p.conn.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		is = err != nil || n > 0
	})
	return is
}

// close ends the reading, also if other processes still have the other end.
func (p *outputPipe) close() {
	_ = p.r.SetReadDeadline(time.Unix(1, 0))
	<-p.ended
	p.r.Close()
	p.w.Close()
}
