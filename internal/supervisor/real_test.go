package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// TestRealSources plays one run with the real notification socket, perf file and update
// marker. It does not run in a synctest bubble, because the bubble's clock stands still
// during network I/O.
func TestRealSources(t *testing.T) {
	f := newAgentDir(t)
	server := newStage(t, f)
	s := &real{server, make(chan *realListener, 1)}
	o := server.o
	o.Processes = s
	var signals proc.Signals
	ended := make(chan End, 1)
	go func() { ended <- NewGroup(o).Run(&signals) }()

	first := <-s.starts
	settings, err := os.Stat(filepath.Join(f.Root, ".agent"))
	if err != nil || settings.Mode().Perm() != 0o600 {
		t.Errorf(".agent: %v, %v", settings.Mode(), err)
	}

	stranger, err := net.Dial("tcp", first.settings.NotificationSocketAddress)
	if err == nil {
		_, err = stranger.Read(make([]byte, 1))
		stranger.Close()
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("another process's connection was not closed: %v", err)
	}

	first.connect(t)
	first.portCloses(t)
	first.write(t, "Agent.perf", "AgentProcessStarted:2026-11-22T12:00:00\nSessionCreated:2026-11-22T12:00:01\n")
	io.WriteString(first.conn, "Starting job: "+aJob+"Finished job: "+aJob)
	first.ends(3)

	if err := os.Mkdir(filepath.Join(f.Root, "_diag"), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Root, "_diag", "SelfUpdate-1.log.succeed"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	second := <-s.starts
	second.connect(t)
	signals.Add(proc.Signal{Signal: syscall.SIGTERM, Action: proc.Drain, At: time.Now()})
	<-second.interrupted
	second.ends(0)

	if end := <-ended; end.Code != 0 {
		t.Errorf("exit code %d: %s", end.Code, end.Why)
	}
	want := []string{"pool", "POST", "PATCH 8", "GET 8", "DELETE 8"}
	if got := server.record; !slices.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
	server.leavesNothing(t)
}

// real is a stage whose listeners use real sockets and files.
type real struct {
	Server
	starts chan *realListener
}

func (s *real) Output(context.Context, proc.Spec) (string, proc.Status, error) {
	return "4.2.0\n", proc.Status{}, nil
}

func (s *real) Start(_ context.Context, spec proc.Spec) (mslistener.Process, error) {
	l := &realListener{spec: spec, done: make(chan struct{}), interrupted: make(chan struct{})}
	b, err := os.ReadFile(filepath.Join(spec.Dir, ".agent"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &l.settings); err != nil {
		return nil, err
	}
	s.starts <- l
	return l, nil
}

type realListener struct {
	spec        proc.Spec
	settings    struct{ NotificationSocketAddress string }
	done        chan struct{}
	interrupted chan struct{}
	status      proc.Status

	mu   sync.Mutex
	mine netip.AddrPort
	conn net.Conn
}

func (l *realListener) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.settings.NotificationSocketAddress)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connect connects as the listener. It holds the lock, because the runner may call
// FindConnection before Dial has returned.
func (l *realListener) connect(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = l.dial(t)
	l.mine = l.conn.LocalAddr().(*net.TCPAddr).AddrPort()
}

func (l *realListener) FindConnection(_ netip.AddrPort, theirs []netip.AddrPort) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Index(theirs, l.mine), nil
}

func (l *realListener) write(t *testing.T, name, content string) {
	t.Helper()
	for _, pair := range l.spec.Env {
		if dir, is := strings.CutPrefix(pair, "VSTS_AGENT_PERFLOG="); is {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// portCloses waits until no other process can connect, as it is before a job runs.
func (l *realListener) portCloses(t *testing.T) {
	t.Helper()
	for range 5000 {
		conn, err := net.Dial("tcp", l.settings.NotificationSocketAddress)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err != nil { // closed at once
			continue
		}
		_, _ = conn.Read(make([]byte, 1)) // until the connection is closed
		conn.Close()
	}
	t.Error("the notification port stays open after the listener has connected")
}

func (l *realListener) ends(code int) {
	l.status = proc.Status{Code: code}
	l.conn.Close()
	close(l.done)
}

func (l *realListener) Pid() int                                         { return 101 }
func (l *realListener) Done() <-chan struct{}                            { return l.done }
func (l *realListener) Status() proc.Status                              { return l.status }
func (l *realListener) KillTree(context.Context) int                     { return 0 }
func (l *realListener) HasDescendant(string) (has, busy bool, err error) { return false, false, nil }

func (l *realListener) Signal(syscall.Signal) error {
	close(l.interrupted)
	return nil
}

func (s *real) KillTrees(context.Context, []mslistener.Process) int { return 0 }

func (s *real) Adopt(int, func(proc.Info) bool) (mslistener.Process, error) {
	return nil, errors.New("there is nobody to adopt")
}

func (s *real) KillOrphans(context.Context) int { return 0 }

func (s *real) Find(func(proc.Info) bool) []proc.Info { return nil }
