package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/retry"
)

// Handler answers requests. Each answer comes from the supervisor's loop: if none comes,
// the loop is stuck.
type Handler interface {
	Status(context.Context) (Status, error)
	// Next returns the status as soon as the phase differs from this one, or the agent
	// has ended.
	Next(ctx context.Context, phase string) (Status, error)
	// Drain requests a drain. It is safe to repeat it.
	Drain(ctx context.Context, terminating bool) (Status, error)
}

const (
	// readTimeout is how long a request may take to come.
	readTimeout = 5 * time.Second
	// writeTimeout is how long a line of an answer may wait to be read.
	writeTimeout = 5 * time.Second
)

// Server answers on the socket.
type Server struct {
	handler  Handler
	log      *slog.Logger
	dir      *socketDir
	listener *net.UnixListener
	ctx      context.Context
	cancel   context.CancelFunc
	served   sync.WaitGroup // the accepting, and each connection

	mu       sync.Mutex
	refused  int       // callers since the last line of the log about them
	logAgain time.Time // when there may be another
}

// Listen opens the socket of this place and answers on it until Close. What an
// previous run left there is replaced; ErrInUse says that another one still
// lives.
func Listen(p Location, a Handler, log *slog.Logger) (*Server, error) {
	f, warning, err := p.make()
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	l, err := listen(f)
	if err != nil {
		_ = f.remove()
		return nil, fmt.Errorf("cannot open the control socket in %s: %w", f.path, err)
	}
	if warning != "" {
		log.Warn("Jobs can remove the control socket: drain and healthcheck may stop working", "directory", f.path, "error", warning,
			"hint", "make /run writable for root, or mount /dev/shm with the sticky bit")
	}
	s := &Server{handler: a, log: log, dir: f, listener: l}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.served.Add(1)
	go s.accept()
	return s, nil
}

func listen(f *socketDir) (*net.UnixListener, error) {
	if err := os.RemoveAll(f.socket()); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.socket(), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // its folder does, which knows whether it still is ours
	return l, nil
}

// Close ends the answering, and leaves nothing behind. Those who watch an agent
// whose life has ended are told so first, and have so long to leave.
func (s *Server) Close(farewell time.Duration) error {
	_ = s.listener.Close()
	done := make(chan struct{})
	go func() { s.served.Wait(); close(done) }()
	timer := time.AfterFunc(farewell, s.cancel)
	defer timer.Stop()
	<-done
	s.cancel()
	return s.dir.remove()
}

func (s *Server) accept() {
	defer s.served.Done()
	limited := connlimit.Limit(s.listener)
	for {
		c, err := limited.Accept()
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		if err != nil { // out of descriptors, or a caller that left: the next may be fine
			s.log.Debug("Cannot accept a control connection", "error", err)
			_ = retry.Sleep(s.ctx, 100*time.Millisecond) // a failing accept must not use a whole processor
			continue
		}
		s.served.Go(func() {
			defer c.Close()
			s.serve(c)
		})
	}
}

// serve answers one connection.
func (s *Server) serve(c net.Conn) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if user, err := peerUser(connlimit.Unwrap(c).(*net.UnixConn)); err != nil || !mayConnect(user, os.Geteuid()) {
		s.logRefusal(user, err)
		s.send(c, Response{Error: refusal})
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(readTimeout))
	line, err := bufio.NewReader(io.LimitReader(c, maxRequest)).ReadBytes('\n')
	if err != nil {
		return
	}
	r, err := parseRequest(line)
	if err != nil {
		s.send(c, Response{Error: err.Error()})
		return
	}
	if r.Watch {
		go watchDisconnect(c, cancel) // ends with the connection
	} else {
		defer time.AfterFunc(ResponseTimeout, cancel).Stop() // by then its caller has given up
	}
	s.respond(ctx, c, r)
}

// watchDisconnect cancels when the client disconnects.
func watchDisconnect(c net.Conn, left context.CancelFunc) {
	_ = c.SetReadDeadline(time.Time{})
	_, _ = c.Read(make([]byte, 1))
	left()
}

// refusalsEvery is between two lines of the log about callers who were turned away:
// one can come back without end.
const refusalsEvery = time.Minute

func (s *Server) logRefusal(user int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
	if now := time.Now(); !now.Before(s.logAgain) {
		s.log.Warn("Rejected a control connection from another user", "user", user, "error", err, "times", s.refused)
		s.refused, s.logAgain = 0, now.Add(refusalsEvery)
	}
}

func (s *Server) respond(ctx context.Context, c net.Conn, r Request) {
	ask := s.handler.Status
	if r.Command == CommandDrain {
		ask = func(ctx context.Context) (Status, error) { return s.handler.Drain(ctx, r.Terminating) }
	}
	for {
		status, err := ask(ctx)
		if err != nil {
			return // the caller has gone, or we have: nobody is left to tell
		}
		if !s.send(c, Response{Status: &status}) || !r.Watch {
			return
		}
		if status.End != nil {
			// PID 1 takes everybody in its container along: let them leave first.
			<-ctx.Done()
			return
		}
		ask = func(ctx context.Context) (Status, error) { return s.handler.Next(ctx, status.Phase) }
	}
}

func (s *Server) send(c net.Conn, a Response) bool {
	a.Version = protocolVersion
	line, err := json.Marshal(a)
	if err != nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err = c.Write(append(line, '\n'))
	return err == nil
}

// refusal is what somebody else's process is told.
const refusal = "refused: only azptend's own user and root may connect"

// mayConnect says whether a server that runs as own answers this user.
func mayConnect(user, own int) bool { return user == own || user == 0 }
