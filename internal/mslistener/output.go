package mslistener

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Printer is where a listener's output goes: to the writers, or to the log if they are nil.
type Printer struct {
	Stdout, Stderr io.Writer // the same writer twice keeps the order of the lines
	Log            *slog.Logger
}

// Output has the pipes that a listener prints to. azptend always reads them. If the
// listener had azptend's own stdout, and nobody read that, the listener would block in the
// middle of a job, and a drain would never end.
type Output struct {
	Stdout, Stderr *os.File // nil if there is no pipe
	pipes          []*outputPipe
}

// OpenOutput opens the pipes. If it cannot, it logs a warning, and the listener's output is
// lost.
func OpenOutput(p Printer, log *slog.Logger) *Output {
	o := &Output{}
	open := func(printLine func([]byte)) *os.File {
		pipe, w, err := openOutputPipe(printLine)
		if err != nil {
			log.Warn("Cannot read the listener's output: its lines are lost", "error", err)
			return nil
		}
		o.pipes = append(o.pipes, pipe)
		return w
	}
	toWriter := func(w io.Writer) func([]byte) {
		return func(line []byte) {
			if note := noteOn(line); note != "" {
				line = fmt.Appendf(nil, "%s (%s)\n", bytes.TrimRight(line, "\r\n"), note)
			}
			_, _ = w.Write(line)
		}
	}
	switch {
	case p.Stdout == nil:
		o.Stdout = open(func(line []byte) {
			if text := strings.TrimRight(string(line), "\r\n"); text != "" {
				args := []any{"source", "listener", "line", text}
				if note := noteOn(line); note != "" {
					args = append(args, "note", note)
				}
				p.Log.Info("The listener says", args...)
			}
		})
		o.Stderr = o.Stdout
	case p.Stdout == p.Stderr: // one pipe keeps the order
		o.Stdout = open(toWriter(p.Stdout))
		o.Stderr = o.Stdout
	default:
		o.Stdout, o.Stderr = open(toWriter(p.Stdout)), open(toWriter(p.Stderr))
	}
	return o
}

// noteOn explains a line that looks like a failure and is none: azptend removes the agent
// before the listener deletes its session, and the listener reports that.
func noteOn(line []byte) string {
	if bytes.Contains(line, []byte("An error occurred: No agent found")) {
		return "expected after the agent was removed"
	}
	return ""
}

// flushTimeout bounds Flush: a process that the listener started may have the pipe open,
// and print without end.
const flushTimeout = 200 * time.Millisecond

// Flush waits until the listener's output is passed on, for at most flushTimeout.
func (o *Output) Flush() {
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	for _, pipe := range o.pipes {
		pipe.flush(ctx)
	}
}

// Close flushes and closes the pipes, even if other processes still have them open.
func (o *Output) Close() {
	o.Flush()
	for _, pipe := range o.pipes {
		pipe.close()
	}
}

// maxLine is the maximum length of a line in bytes. A longer line is split.
const maxLine = 4096

// outputPipe is a pipe that a listener prints to.
type outputPipe struct {
	r, w  *os.File
	conn  syscall.RawConn // of r
	ended chan struct{}

	mu      sync.Mutex
	empty   bool          // the last Read found the pipe empty
	emptied chan struct{} // closed and replaced when that becomes true
}

// openOutputPipe makes a pipe, and calls printLine with each line that is written to it.
func openOutputPipe(printLine func(line []byte)) (*outputPipe, *os.File, error) {
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
				printLine(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
	return p, w, nil
}

// Read reads from the pipe. A caller that calls it again has passed on what it returned
// before. So if the pipe is empty then, everything was passed on.
func (p *outputPipe) Read(b []byte) (n int, err error) {
	waited := p.conn.Read(func(fd uintptr) (done bool) {
		p.mu.Lock() // flush must not run between the read and the change of empty
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

// flush waits until everything in the pipe was passed on, or ctx ends.
func (p *outputPipe) flush(ctx context.Context) {
	for {
		p.mu.Lock()
		flushed, emptied := p.empty && !p.readable(), p.emptied
		p.mu.Unlock()
		if flushed {
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

// close stops the reader, even if other processes still have the other end open.
func (p *outputPipe) close() {
	_ = p.r.SetReadDeadline(time.Unix(1, 0))
	<-p.ended
	p.r.Close()
	p.w.Close()
}
