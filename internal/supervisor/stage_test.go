package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is everything around one runner: a server, processes, what listeners report, and
// signals. It records the calls that it gets. Tests check this record, not the runner's
// log. Its clock is that of the synctest bubble.
type stage struct {
	t *testing.T
	o Options

	signals chan proc.Signal
	ended   chan End

	mu               sync.Mutex
	record           []string
	agents           map[int]*azdo.Agent // by id
	next             int
	faults           map[string][]fault // by call; each is used once
	listeners        []*listener
	specs            []proc.Spec   // what the listeners were started with
	slowStart        time.Duration // how long it takes to start a listener
	hung             chan struct{} // reads of the listeners' logs block until it is closed; nil: they do not
	silent           bool          // listeners neither connect nor create a session by themselves
	ignoresSIGINT    bool          // listeners do not exit after SIGINT
	updateEnded      chan struct{} // the update script has ended
	processes        []proc.Info   // processes of a previous run
	previousListener *listener     // the listener among them
	dropsTags        bool          // the server does not store user capabilities
	firstSignal      time.Time

	end       End
	took      time.Duration // from the first signal to the end
	survivors int           // listeners that run after the end
}

// fault is how one call fails. act does what the call is for.
type fault func(ctx context.Context, act func() error) error

// refused answers with an error of the server.
func refused(status int, typeKey string) fault {
	return func(context.Context, func() error) error { return &azdo.Error{Status: status, TypeKey: typeKey} }
}

// lost acts and loses the answer. dropped does not act and loses the answer.
func lost(_ context.Context, act func() error) error {
	_ = act()
	return &azdo.Error{Sent: true, Cause: io.ErrUnexpectedEOF}
}

func dropped(context.Context, func() error) error {
	return &azdo.Error{Sent: true, Cause: io.ErrUnexpectedEOF}
}

// hangs never answers.
func hangs(ctx context.Context, _ func() error) error {
	<-ctx.Done()
	return &azdo.Error{Sent: true, Cause: context.Cause(ctx)}
}

// slow acts after d, unless ctx ends before.
func slow(d time.Duration) fault {
	return func(ctx context.Context, act func() error) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return act()
		case <-ctx.Done():
			return &azdo.Error{Sent: true, Cause: context.Cause(ctx)}
		}
	}
}

// withoutAuthorization removes the authorization from the answer to a POST.
func (s *stage) withoutAuthorization(_ context.Context, act func() error) error {
	err := act()
	s.withAgent(s.next, func(a *azdo.Agent) { a.Authorization = nil })
	return err
}

func newAgentDir(t *testing.T) agentdir.Dir {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := agentdir.Dir{Root: root}
	if err := os.WriteFile(f.Listener(), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func newStage(t *testing.T, f agentdir.Dir) *stage {
	s := &stage{
		t: t, signals: make(chan proc.Signal, 1), ended: make(chan End, 1),
		agents: map[int]*azdo.Agent{}, next: 7, faults: map[string][]fault{}, updateEnded: make(chan struct{}),
	}
	s.o = Options{
		ProcessStarted: time.Now(), URL: "https://dev.azure.com/org", Pool: azdo.PoolRef{Name: "Default"}, Name: "agent-1", HostName: "host",
		WorkFolder: "_work", Dir: f, handle: newHandle(), Policy: lifecycle.Policy{Grace: 100 * time.Second, NameWait: time.Minute},
		Server: s, Processes: s, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return s
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = append(s.record, fmt.Sprintf(format, args...))
}

// play runs a script in a synctest bubble, to the end of the run.
func play(t *testing.T, with func(*Options), script func(*stage)) *stage {
	f := newAgentDir(t)
	var s *stage
	synctest.Test(t, func(t *testing.T) {
		s = newStage(t, f)
		if with != nil {
			with(&s.o)
		}
		script(s)
		select {
		case s.end = <-s.ended:
		case <-time.After(24 * time.Hour):
			panic("the run does not end; so far: " + strings.Join(s.record, " "))
		}
		if s.hung != nil {
			close(s.hung)
			synctest.Wait()
		}
		for _, l := range s.listeners {
			if l.done != nil && l.alive() {
				s.survivors++
			}
		}
		if !s.firstSignal.IsZero() {
			s.took = time.Since(s.firstSignal)
		}
	})
	return s
}

// The commands of a script.

func (s *stage) begin() {
	go func() { s.ended <- run(s.o, s, s.signals) }()
	synctest.Wait()
}

// ready starts the run and waits until the listener has its session.
func (s *stage) ready() {
	s.begin()
	s.advance(2 * time.Second)
}

// advance lets time pass, on the fake clock of the synctest bubble.
func (s *stage) advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) fails(call string, how ...fault) { s.faults[call] = append(s.faults[call], how...) }

func (s *stage) signal(sig syscall.Signal, w proc.Action) {
	if s.firstSignal.IsZero() {
		s.firstSignal = time.Now()
	}
	s.signals <- proc.Signal{Signal: sig, Action: w, At: time.Now()}
	synctest.Wait()
}

func (s *stage) sigterm() { s.signal(syscall.SIGTERM, proc.Drain) }
func (s *stage) sigint()  { s.signal(syscall.SIGINT, proc.Interrupt) }

// phase asks the loop for the phase.
func (s *stage) phase() string {
	now, err := s.o.handle.status(s.t.Context())
	if err != nil {
		s.t.Error(err)
	}
	return string(now.Phase)
}

func (s *stage) listener() *listener { return s.listeners[len(s.listeners)-1] }

const aJob = "0a1b2c3d-0000-4000-8000-abcdefabcdef"

// assign makes the server assign a job to the agent.
func (s *stage) assign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents[s.next].AssignedRequest = &azdo.JobRequest{RequestID: 1, JobID: aJob}
}

func (s *stage) unassign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.agents {
		s.agents[id].AssignedRequest = nil
	}
}

func (s *stage) jobStarts() {
	s.assign()
	l := s.listener()
	l.worker.Lock()
	l.works = true
	l.worker.Unlock()
	_, _ = l.conn.Write([]byte("Starting job: " + aJob))
	synctest.Wait()
}

func (s *stage) jobEnds() {
	s.listener().stopWorking()
	_, _ = s.listener().conn.Write([]byte("Finished job: " + aJob))
	synctest.Wait()
}

// addHolder adds another agent with our name to the server.
func (s *stage) addHolder(id int, status string, tags map[string]string) {
	s.agents[id] = &azdo.Agent{ID: id, Name: "Agent-1", Version: "4.1.0", Status: status, UserCapabilities: tags}
}

// deleteAgent deletes an agent on the server.
func (s *stage) deleteAgent(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.agents, id)
}

// withAgent reads or changes an agent on the server.
func (s *stage) withAgent(id int, look func(*azdo.Agent)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look(s.agents[id])
}

func (s *stage) agentsLeft() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.agents {
		ids = append(ids, fmt.Sprint(id))
	}
	return strings.Join(ids, " ")
}

// The server.

func (s *stage) call(ctx context.Context, what string, act func() error) error {
	s.note("%s", what)
	name, _, _ := strings.Cut(what, " ")
	s.mu.Lock()
	var how fault
	if f := s.faults[name]; len(f) > 0 {
		how, s.faults[name] = f[0], f[1:]
	}
	s.mu.Unlock()
	locked := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return act()
	}
	if how != nil {
		return how(ctx, locked)
	}
	return locked()
}

var errNoAgent = &azdo.Error{Status: http.StatusNotFound, TypeKey: "TaskAgentNotFoundException"}

func (s *stage) Authorize(context.Context) error { return nil }

func (s *stage) FindPool(ctx context.Context, ref azdo.PoolRef) (p azdo.Pool, err error) {
	err = s.call(ctx, "pool", func() error {
		p = azdo.Pool{ID: cmp.Or(ref.ID, 1), Name: cmp.Or(ref.Name, "by id")}
		return nil
	})
	return p, err
}

func (s *stage) AddAgent(ctx context.Context, _ int, a azdo.Agent) (azdo.Agent, error) {
	err := s.call(ctx, "POST", func() error {
		for _, other := range s.agents {
			if strings.EqualFold(other.Name, a.Name) {
				return &azdo.Error{Status: http.StatusConflict, TypeKey: "TaskAgentExistsException"}
			}
		}
		s.next++
		a.ID = s.next
		a.Authorization.ClientID, a.Authorization.AuthorizationURL = "client", "https://vssps.dev.azure.com/org/_apis/oauth2/token"
		s.agents[a.ID] = &a
		return nil
	})
	if err != nil {
		return azdo.Agent{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.agents[s.next], nil
}

func (s *stage) AgentByName(ctx context.Context, _ int, name string) (found azdo.Agent, is bool, err error) {
	err = s.call(ctx, "LOOKUP", func() error {
		for _, a := range s.agents {
			if strings.EqualFold(a.Name, name) {
				found, is = *a, true
				found.Authorization = nil // a list shows none
			}
		}
		return nil
	})
	return found, is, err
}

func (s *stage) AgentByID(ctx context.Context, pool, id int, with azdo.Include) (found azdo.Agent, err error) {
	if with.Capabilities {
		return s.agentWithCapabilities(ctx, pool, id)
	}
	err = s.call(ctx, fmt.Sprintf("GET %d", id), func() error {
		if s.agents[id] == nil {
			return errNoAgent
		}
		found = *s.agents[id]
		return nil
	})
	return found, err
}

func (s *stage) EachAgent(context.Context, int, azdo.Include, func(azdo.Agent)) error {
	return errNoAgent // the tests of presenceChecker have their own server
}

func (s *stage) SetEnabled(ctx context.Context, _, id int, _ bool) error {
	return s.call(ctx, fmt.Sprintf("PATCH %d", id), func() error {
		if s.agents[id] == nil {
			return errNoAgent
		}
		return nil
	})
}

func (s *stage) RemoveAgent(ctx context.Context, _, id int) error {
	return s.call(ctx, fmt.Sprintf("DELETE %d", id), func() error {
		switch a := s.agents[id]; {
		case a == nil:
			return errNoAgent
		case a.AssignedRequest != nil:
			return &azdo.Error{Status: http.StatusBadRequest, TypeKey: "TaskAgentJobStillRunningException"}
		}
		delete(s.agents, id)
		return nil
	})
}

// The processes.

// listener is a started listener.
type listener struct {
	unseen  bool // a scan for its worker blocks until the stage's hung is closed
	s       *stage
	pid     int
	port    *stagePort
	conn    net.Conn      // its end of the notification socket
	far     net.Conn      // azptend's end
	counted chan struct{} // closed and replaced when counts change
	counts  mslistener.PerfCounts
	trouble chan mslistener.ProblemKind
	done    chan struct{}
	status  proc.Status
	once    sync.Once

	worker  sync.Mutex
	works   bool          // an Agent.Worker runs below it
	reports bool          // none of the job's steps runs
	daemon  bool          // a process of a job runs that outlives its job
	stuck   bool          // no signal ends it
	late    bool          // it has exited before its connection is checked
	jammed  chan struct{} // KillTree blocks until it is closed; nil: it does not
}

func (s *stage) KillOrphans(context.Context) int { return 0 }

func (s *stage) Output(context.Context, proc.Spec) (string, proc.Status, error) {
	return "4.2.0\n", proc.Status{}, nil
}

func (s *stage) Start(_ context.Context, spec proc.Spec) (mslistener.Process, error) {
	time.Sleep(s.slowStart)
	if f := s.faults["start"]; len(f) > 0 {
		s.faults["start"] = f[1:]
		return nil, f[0](nil, nil)
	}
	var settings struct{ AgentID int }
	b, err := os.ReadFile(filepath.Join(spec.Dir, ".agent"))
	if err == nil {
		err = json.Unmarshal(b, &settings)
	}
	if err != nil {
		s.t.Errorf("started without its files: %v", err)
	}
	s.note("start %d", settings.AgentID)
	s.specs = append(s.specs, spec)
	l := s.listener()
	l.done = make(chan struct{})
	if !s.silent {
		go func() {
			l.connects(l.pid)
			l.logsOn()
		}()
	}
	return l, nil
}

// connects tries to connect to the notification port as the process of this pid.
func (l *listener) connects(pid int) {
	far := l.far
	if pid != l.pid {
		far, _ = net.Pipe()
	}
	select {
	case l.port.coming <- caller{far, pid}:
	case <-l.done:
	}
}

func (l *listener) logsOn() { l.writes(func(c *mslistener.PerfCounts) { c.Session = true }) }

// receives increases the counter of jobs, before the listener reports the job's start.
func (l *listener) receives() {
	l.writes(func(c *mslistener.PerfCounts) { c.Messages++; c.Jobs++ })
	synctest.Wait()
}

// writes changes the counters, as the listener or a job does.
func (l *listener) writes(change func(*mslistener.PerfCounts)) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	change(&l.counts)
	close(l.counted)
	l.counted = make(chan struct{})
}

func (l *listener) stopWorking() {
	l.worker.Lock()
	l.works = false
	l.worker.Unlock()
	l.s.unassign()
}

// ends makes the process exit after its socket is closed.
func (l *listener) ends(status proc.Status) {
	l.once.Do(func() {
		l.status = status
		l.conn.Close()
		close(l.done)
	})
}

// endsBeforeItsSocket makes the process exit while a child of it keeps the socket open.
func (l *listener) endsBeforeItsSocket(status proc.Status) {
	l.once.Do(func() {
		l.status = status
		close(l.done)
	})
	synctest.Wait()
}

func (l *listener) Pid() int              { return l.pid }
func (l *listener) Done() <-chan struct{} { return l.done }
func (l *listener) Status() proc.Status   { return l.status }
func (s *stage) exits(code int)           { s.listener().ends(proc.Status{Code: code}); synctest.Wait() }
func (s *stage) dies(sig syscall.Signal) {
	s.listener().ends(proc.Status{Signal: sig})
	synctest.Wait()
}
func (l *listener) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (l *listener) Signal(sig syscall.Signal) error {
	if !l.alive() {
		return nil
	}
	l.s.note("%s", signalName(sig))
	if sig == syscall.SIGINT && !l.s.ignoresSIGINT && !l.stuck {
		go func() {
			time.Sleep(time.Second)
			l.stopWorking()
			l.ends(proc.Status{})
		}()
	}
	return nil
}

func (l *listener) KillTree(context.Context) int {
	if l.jammed != nil {
		<-l.jammed
	}
	l.worker.Lock()
	works := l.works || l.daemon
	l.works, l.daemon = false, false
	l.worker.Unlock()
	if !l.alive() && !works {
		return 0
	}
	l.s.note("SIGKILL")
	l.s.unassign()
	if !l.stuck {
		l.ends(proc.Status{Signal: syscall.SIGKILL})
	}
	return 1
}

func (l *listener) HasDescendant(program string) (has, busy bool, err error) {
	if l.unseen {
		<-l.s.hung
	}
	l.worker.Lock()
	defer l.worker.Unlock()
	has = l.works && program == "Agent.Worker"
	return has, has && !l.reports, nil
}

func (l *listener) FindConnection(_ netip.AddrPort, theirs []netip.AddrPort) (int, error) {
	if l.late {
		return -1, proc.ErrProcessEnded
	}
	return slices.IndexFunc(theirs, func(a netip.AddrPort) bool { return int(a.Port()) == l.pid }), nil
}

// What a listener reports.

type caller struct {
	conn net.Conn
	pid  int
}

type stagePort struct {
	s      *stage
	coming chan caller
}

// OpenPort adds a listener: it is the first call for one.
func (s *stage) OpenPort() (mslistener.Port, error) {
	p := &stagePort{s: s, coming: make(chan caller)}
	l := &listener{s: s, pid: 101 + len(s.listeners), port: p, counted: make(chan struct{}), trouble: make(chan mslistener.ProblemKind)}
	l.conn, l.far = net.Pipe()
	s.listeners = append(s.listeners, l)
	return p, nil
}

func (p *stagePort) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:4711"))
}
func (p *stagePort) Close() error { return nil }

func (p *stagePort) Accept(ctx context.Context, last <-chan struct{}, whose func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error) {
	at := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	}
	for {
		select {
		case c := <-p.coming:
			if whose(at(4711), []netip.AddrPort{at(c.pid)}) == 0 {
				return c.conn, nil
			}
			p.s.note("turned away")
			c.conn.Close()
		case <-ctx.Done():
			return nil, fmt.Errorf("no connection: %w", context.Cause(ctx))
		case <-last:
			return nil, fmt.Errorf("no connection: %w", mslistener.ErrNotConnected)
		}
	}
}

func (s *stage) OpenPerf(string, func(error)) mslistener.Perf { return stagePerf{s.listener()} }

type stagePerf struct{ l *listener }

func (p stagePerf) Counts() mslistener.PerfCounts {
	p.l.s.mu.Lock()
	defer p.l.s.mu.Unlock()
	return p.l.counts
}

func (p stagePerf) Wait(ctx context.Context, enough func(mslistener.PerfCounts) bool) (mslistener.PerfCounts, error) {
	for {
		p.l.s.mu.Lock()
		counts, changed := p.l.counts, p.l.counted
		p.l.s.mu.Unlock()
		if enough(counts) {
			return counts, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return counts, ctx.Err()
		}
	}
}

func (s *stage) UpdateMarkers() mslistener.UpdateMarkers { return nil }

func (s *stage) WaitForUpdate(ctx context.Context, _ mslistener.UpdateMarkers) error {
	s.note("await update")
	select {
	case <-s.updateEnded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stage) LogSizes() mslistener.LogSizes {
	if s.hung != nil {
		<-s.hung
	}
	return nil
}

func (s *stage) ReadShutdown(mslistener.LogSizes) (mslistener.ShutdownRecord, error) {
	return mslistener.ShutdownRecord{}, nil
}

func (s *stage) FollowProblems(ctx context.Context, _ mslistener.LogSizes, tell func(mslistener.Problem)) {
	l := s.listener()
	for {
		select {
		case kind := <-l.trouble:
			tell(mslistener.Problem{Kind: kind})
		case <-ctx.Done():
			return
		}
	}
}

// logs makes the listener log a problem.
func (l *listener) logs(kind mslistener.ProblemKind) {
	l.trouble <- kind
	synctest.Wait()
}
