package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// closeTimeout is how long watching clients have to disconnect.
const closeTimeout = 2 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// life is a Handler: an agent whose phases the test sets.
type life struct {
	mu      sync.Mutex
	now     Status
	drains  []bool // terminating
	moved   chan struct{}
	stopped bool // its loop
}

func newLife() *life { return &life{now: Status{Phase: "idle"}, moved: make(chan struct{})} }

func (l *life) goes(change func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.now)
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *life) read() (Status, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.moved
}

func (l *life) Status(ctx context.Context) (Status, error) {
	if l.stopped {
		<-ctx.Done()
		return Status{}, ctx.Err()
	}
	s, _ := l.read()
	return s, nil
}

func (l *life) Next(ctx context.Context, phase string) (Status, error) {
	for {
		s, moved := l.read()
		if s.Phase != phase || s.End != nil {
			return s, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return Status{}, ctx.Err()
		}
	}
}

func (l *life) Drain(ctx context.Context, terminating bool) (Status, error) {
	l.mu.Lock()
	l.drains = append(l.drains, terminating)
	l.mu.Unlock()
	return l.Status(ctx)
}

// listening opens a socket in a directory whose path is longer than the address of a socket
// may be.
func listening(t *testing.T, l *life) (Client, *Server) {
	t.Helper()
	root := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	s := listenIn(t, Location{Root: root}, l)
	return Client{Location{Root: root}}, s
}

func listenIn(t *testing.T, p Location, l *life) *Server {
	t.Helper()
	s, err := Listen(p, l, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s) })
	return s
}

func closed(t *testing.T, s *Server) {
	t.Helper()
	if s.ctx.Err() != nil {
		return
	}
	if err := s.Close(closeTimeout); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.dir.path); err == nil {
		t.Errorf("%s stays behind", s.dir.path)
	}
}

func TestStatus(t *testing.T) {
	l := newLife()
	deadline := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	l.now = Status{
		Phase: "draining", Since: deadline.Add(-time.Hour), Registration: "registered", Agent: "agent-1", AgentID: 7,
		Pool: "Default", Job: "running", Jobs: 2, Reason: "asked", Deadline: &deadline,
	}
	c, _ := listening(t, l)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.now, got); diff != "" {
		t.Error(diff)
	}
}

func TestDrain(t *testing.T) {
	l := newLife()
	c, _ := listening(t, l)
	for _, terminating := range []bool{false, true, true} {
		if _, err := c.Drain(t.Context(), terminating); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]bool{false, true, true}, l.drains); diff != "" {
		t.Error(diff)
	}
}

// TestWatch: a watching client gets each phase, and also an end that comes while the socket is
// closed.
func TestWatch(t *testing.T) {
	l := newLife()
	c, s := listening(t, l)
	next := map[string]func(*Status){
		"idle":     func(s *Status) { s.Phase = "draining" },
		"draining": func(s *Status) { s.Phase = "removing" },
		"removing": func(s *Status) { s.Phase, s.End = "gone", &End{Code: 75, Why: "cut"} },
	}
	var phases []string
	last, err := c.DrainAndWatch(t.Context(), true, func(st Status) {
		phases = append(phases, st.Phase)
		if change := next[st.Phase]; change != nil {
			l.goes(change)
			if st.Phase == "removing" {
				closed(t, s)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"idle", "draining", "removing", "gone"}, phases); diff != "" {
		t.Error(diff)
	}
	if last.End == nil || last.End.Code != 75 {
		t.Errorf("the last status is %+v", last)
	}
}

// TestWatcherIsLeftBehind: if a run ends without a status, the watching client gets an error,
// and Close does not wait for it.
func TestWatcherIsLeftBehind(t *testing.T) {
	c, s := listening(t, newLife())
	_, err := c.DrainAndWatch(t.Context(), false, func(Status) { closed(t, s) })
	if !errors.Is(err, ErrDisconnected) {
		t.Errorf("error is %v", err)
	}
}

func TestNobody(t *testing.T) {
	l := newLife()
	c, s := listening(t, l)
	closed(t, s)
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a folder: %v", err)
	}
	if err := os.WriteFile(c.Location.agentDir(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with a file in its place: %v", err)
	}
	again := listenIn(t, c.Location, l)
	_ = again.listener.Close() // like a process that was killed
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with a dead socket: %v", err)
	}
}

// TestSilence: if the loop does not answer, the client returns at its deadline.
func TestSilence(t *testing.T) {
	l := newLife()
	l.stopped = true
	c, _ := listening(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, ErrNoResponse) {
		t.Errorf("error is %v", err)
	}
}

// TestOneAtATime: a directory that is in use is not changed, and is free afterwards.
func TestOneAtATime(t *testing.T) {
	c, s := listening(t, newLife())
	if _, err := Listen(c.Location, newLife(), slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the first one: %v", err)
	}
	closed(t, s)
	listenIn(t, c.Location, newLife())
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestLeftovers: anything in the directory's place is removed at the start, but not the target
// of a link.
func TestLeftovers(t *testing.T) {
	for name, lay := range map[string]func(path, elsewhere string) error{
		"a file":            func(path, _ string) error { return os.WriteFile(path, []byte("x"), 0o444) },
		"a link":            func(path, elsewhere string) error { return os.Symlink(elsewhere, path) },
		"a link to nothing": func(path, elsewhere string) error { return os.Symlink(elsewhere+"/not/there", path) },
		"an open folder":    func(path, _ string) error { return errors.Join(os.Mkdir(path, 0), os.Chmod(path, 0o777)) },
		"a folder in its place": func(path, _ string) error {
			return os.MkdirAll(filepath.Join(path, socketName, "deep"), 0o700)
		},
		"a link in its place": func(path, elsewhere string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.Symlink(filepath.Join(elsewhere, "precious"), filepath.Join(path, socketName)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			elsewhere, path := t.TempDir(), filepath.Join(t.TempDir(), ".azptend")
			precious := filepath.Join(elsewhere, "precious")
			if err := errors.Join(os.WriteFile(precious, []byte("x"), 0o600), lay(path, elsewhere)); err != nil {
				t.Fatal(err)
			}
			p := Location{Root: filepath.Dir(path)}
			s := listenIn(t, p, newLife())
			if _, err := (Client{p}).Status(t.Context()); err != nil {
				t.Error(err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeDir|0o700 {
				t.Errorf("the folder is %v, %v", info.Mode(), err)
			}
			closed(t, s)
			if b, err := os.ReadFile(precious); err != nil || string(b) != "x" {
				t.Errorf("what lay elsewhere is %q, %v", b, err)
			}
		})
	}
}

// TestReplacedDir: a directory that was put in the place of ours is not removed.
func TestReplacedDir(t *testing.T) {
	c, s := listening(t, newLife())
	if err := errors.Join(os.Rename(c.Location.agentDir(), c.Location.agentDir()+".moved"), os.Mkdir(c.Location.agentDir(), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(closeTimeout); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(c.Location.agentDir()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(c.Location.agentDir()+".moved", socketName)); err == nil {
		t.Error("the socket stays behind")
	}
}

func TestWhoMayConnect(t *testing.T) {
	const root, us, them = 0, 1000, 2000
	for _, tt := range []struct {
		user, own int
		want      bool
	}{{us, us, true}, {root, us, true}, {them, us, false}, {us, root, false}, {root, root, true}} {
		if got := mayConnect(tt.user, tt.own); got != tt.want {
			t.Errorf("mayAsk(%d, %d) = %v", tt.user, tt.own, got)
		}
	}
	for _, tt := range []struct {
		user, own, owner int
		want             bool
	}{
		{us, us, us, true}, {root, us, us, true}, {them, us, us, false}, {them, us, them, false},
		{us, root, us, true}, {them, root, us, false}, {root, root, root, true}, {us, root, root, false},
	} {
		if got := isTrustedServer(tt.user, tt.own, tt.owner, true); got != tt.want {
			t.Errorf("mayAnswer(%d, %d, %d) = %v", tt.user, tt.own, tt.owner, got)
		}
	}
}

// say sends a line to a server, and returns its answer.
func say(t *testing.T, c Client, line string) Response {
	t.Helper()
	conn, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(line)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	b, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var a Response
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBadRequests(t *testing.T) {
	l := newLife()
	c, _ := listening(t, l)
	for line, want := range map[string]string{
		"hello":                   "it is not a JSON object",
		`[1]`:                     "it is not a JSON object",
		`{"v":1,"ask":"drain"}{}`: "it is not a JSON object",
		`{"v":2,"ask":"drain"}`:   "its protocol version is 2, not 1",
		`{"ask":"drain"}`:         "its protocol version is 0",
		`{"v":1,"ask":"kill"}`:    `unknown command "kill"`,
		`{"v":1,"ask":"status","terminating":true}`: "terminating is only for a drain",
	} {
		if a := say(t, c, line+"\n"); !strings.Contains(a.Error, want) || a.Status != nil || a.Version != protocolVersion {
			t.Errorf("%s is answered with %+v", line, a)
		}
	}
	if len(l.drains) != 0 {
		t.Errorf("it drained: %v", l.drains)
	}
	if a := say(t, c, `{"v":1,"ask":"status","of tomorrow":{}}`+"\n"); a.Status == nil {
		t.Errorf("an unknown field is answered with %+v", a)
	}
}

// TestEndlessRequest: a line that does not end is read only up to maxRequest.
func TestEndlessRequest(t *testing.T) {
	c, _ := listening(t, newLife())
	conn, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(strings.Repeat(" ", maxRequest+1)))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("it is answered with %d bytes", n)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"ask":"status"}`, `{"v":1,"ask":"drain","terminating":true,"watch":true}`, `{"v":1,"ask":"status","watch":true}`,
		`{"v":2}`, `{"v":1,"ask":"` + strings.Repeat("x", 100) + `"}`, `null`, `[]`, `{"v":1e0,"ask":"drain"}`, "\ufeff{}", "{", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRequest(line)
		if err != nil {
			if len(err.Error()) > 300 || r != (Request{}) {
				t.Errorf("refused with %q and %+v", err, r)
			}
			return
		}
		if r.Version != protocolVersion || (r.Command != CommandStatus && r.Command != CommandDrain) || (r.Terminating && r.Command != CommandDrain) {
			t.Errorf("%q is taken for %+v", line, r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseRequest(again); err != nil || back != r {
			t.Errorf("%+v is written as %s and read as %+v, %v", r, again, back, err)
		}
	})
}
