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
	// readTimeout is how long a client may take to send its request.
	readTimeout = 5 * time.Second
	// writeTimeout is how long a client may take to read a line.
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
	served   sync.WaitGroup // accept, and each connection

	mu       sync.Mutex
	refused  int       // connections that were refused since the last log line about them
	logAgain time.Time // when the next such line may be logged
}

// Listen opens the socket of this location and answers on it until Close. It replaces what a
// previous run left. The error is ErrInUse if another azptend uses it.
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
	l.SetUnlinkOnClose(false) // socketDir.remove does that, and checks that it is still ours
	return l, nil
}

// Close stops the server and removes the socket. Clients that watch a run which has ended get
// its end first, and have farewell to disconnect.
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
		if err != nil { // no free descriptor, or the client has disconnected: go on
			s.log.Debug("Cannot accept a control connection", "error", err)
			_ = retry.Sleep(s.ctx, 100*time.Millisecond) // so that the loop does not use a whole processor
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
		go watchDisconnect(c, cancel) // returns when the connection is closed
	} else {
		defer time.AfterFunc(ResponseTimeout, cancel).Stop() // the client has given up by then
	}
	s.respond(ctx, c, r)
}

// watchDisconnect cancels when the client disconnects.
func watchDisconnect(c net.Conn, left context.CancelFunc) {
	_ = c.SetReadDeadline(time.Time{})
	_, _ = c.Read(make([]byte, 1))
	left()
}

// refusalsEvery is the pause between two log lines about refused connections, because a
// client can connect again and again.
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
			return // the client has disconnected, or the server is closing
		}
		if !s.send(c, Response{Status: &status}) || !r.Watch {
			return
		}
		if status.End != nil {
			// The exit of PID 1 kills all processes of the container, so let the client exit first.
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

// refusal is the answer to a process of another user.
const refusal = "refused: only azptend's own user and root may connect"

// mayConnect says whether a server that runs as own answers a client of this user.
func mayConnect(user, own int) bool { return user == own || user == 0 }
