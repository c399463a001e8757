package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/fakeagent"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/term"
)

// stage is what the demo plays on: an emulator in this process, and azptend as a
// process of its own.
type stage struct {
	out        *term.Output
	color      bool
	verbose    bool
	executable string
	dir        string
	agentDir   string
	began      time.Time

	emulator *emulator.Emulator
	base     string
	served   chan error
	page     *keeperPage
	stop     context.CancelFunc
	seen     uint64 // the last event that was told

	init    *proc.Init
	child   *proc.Child
	path    string // of PATH, for the jobs
	log     logTail
	asked   time.Time // SIGTERM
	removed time.Time
}

func raiseStage(p cli.Process, verbose bool) (_ *stage, err error) {
	s := &stage{out: &term.Output{W: p.Stdout}, verbose: verbose, began: time.Now(), served: make(chan error, 1), color: p.WantsColor()}
	defer func() {
		if err != nil {
			s.strike()
		}
	}()
	if s.executable, err = cli.Self(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "azptend-demo-*"); err != nil {
		return nil, err
	}
	s.agentDir = filepath.Join(s.dir, "agent")
	if err = fakeagent.LayOut(s.agentDir, s.executable); err != nil {
		return nil, err
	}
	if s.emulator, err = emulator.New(emulator.Options{}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.base = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.served <- s.emulator.Serve(ctx, listener) }()
	if s.page, err = openPage(ctx, s.base+"/"+s.emulator.State().Org, "Default", s.emulator.DefaultPAT()); err != nil {
		return nil, err
	}
	for _, pair := range p.Environ {
		if value, found := strings.CutPrefix(pair, "PATH="); found {
			s.path = value
		}
	}
	s.init, err = proc.NewInit()
	return s, err
}

// strike takes everything down again, whatever was raised.
func (s *stage) strike() {
	if s.child != nil {
		s.child.KillTree(context.Background())
		s.log.wait()
	}
	if s.init != nil {
		s.init.Close()
	}
	if s.stop != nil {
		s.stop()
		<-s.served
		if s.page != nil {
			s.page.running.Wait()
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// start starts azptend as a container would: with an environment, and nothing
// else.
func (s *stage) start() error {
	env := []string{"PATH=" + s.path, "HOME=" + s.dir, "AZP_AGENT_NAME=demo", "AZP_PLATFORM=none", "AZP_AGENT_DIR=" + s.agentDir, "AZP_LOG_FORMAT=json"}
	for _, v := range s.emulator.Environment(s.base) {
		env = append(env, v.Name+"="+v.Value)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.child, err = s.init.Start(context.Background(), proc.Spec{Path: s.executable, Args: []string{"run"}, Env: env, Dir: s.dir, Stderr: w})
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	s.log.follow(r, s.tellLine)
	return nil
}

// await waits for the next event of a type.
func (s *stage) await(ctx context.Context, kind string) (emulator.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	go func() { // azptend's end is the end of waiting for it
		select {
		case <-s.child.Done():
			if kind != emulator.EventAgentRemoved {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	e, err := s.emulator.WaitEvent(ctx, s.seen, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		return e, fmt.Errorf("waited for %s: %w", kind, err)
	}
	s.seen = e.Seq
	return e, nil
}

func (s *stage) sayf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// tell says one thing that happened.
func (s *stage) tell(who, format string, args ...any) {
	name := fmt.Sprintf("%-9s", who)
	if s.color {
		name = "\x1b[1m" + name + "\x1b[0m"
	}
	s.sayf("%6.2f s  %s %s\n", time.Since(s.began).Seconds(), name, fmt.Sprintf(format, args...))
}

// showLines shows the whole lines of a job's log from number shown on, and
// returns how many are shown now.
func (s *stage) showLines(log string, shown int) int {
	lines := strings.SplitAfter(log, "\n")
	for _, line := range lines[min(shown, len(lines)):] {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		s.sayf("%9s %9s │ %s\n", "", "", withoutTime(strings.TrimSuffix(line, "\n")))
		shown++
	}
	return shown
}

// withoutTime takes off the time stamp that Azure DevOps' log lines begin with.
func withoutTime(line string) string {
	stamp, rest, found := strings.Cut(line, " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); found && err == nil {
		return rest
	}
	return line
}

func (s *stage) tellLine(line string) {
	if s.verbose {
		s.sayf("%9s %9s · %s\n", "", "", line)
	}
}

// tellLog says what azptend said, after something went wrong.
func (s *stage) tellLog() {
	if s.verbose {
		return
	}
	s.sayf("\nazptend's log:\n%s\n", s.log.text())
}

// tellTimes is the table of how long each phase took. The times of the start
// are azptend's own measurement, those of the end the emulator's.
func (s *stage) tellTimes() {
	ready, found := s.log.ready()
	if !found {
		return
	}
	s.sayf("\n")
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "phase\tms\t\n")
	for _, row := range []struct {
		name string
		ms   float64
	}{
		{"token", ready.Token}, {"pool", ready.Pool}, {"key (beside)", ready.Key}, {"folder (beside)", ready.Folder},
		{"register", ready.Register}, {"launch", ready.Launch}, {"session", ready.Session}, {"start to ready", ready.Total},
		{"SIGTERM to removed", float64(s.removed.Sub(s.asked).Milliseconds())},
	} {
		fmt.Fprintf(table, "%s\t%.1f\t\n", row.name, row.ms)
	}
	table.Flush()
	s.sayf("\nthe whole life took %.1f s, of which the jobs slept 1.8\n", time.Since(s.began).Seconds())
}

// logTail keeps a process's log.
type logTail struct {
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

func (l *logTail) follow(r io.ReadCloser, tell func(string)) {
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		defer r.Close()
		for scan := bufio.NewScanner(r); scan.Scan(); {
			l.mu.Lock()
			l.lines = append(l.lines, scan.Text())
			l.mu.Unlock()
			tell(scan.Text())
		}
	}()
}

// wait waits for the log's end.
func (l *logTail) wait() {
	if l.done != nil {
		<-l.done
	}
}

func (l *logTail) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// readyTimes are the times of the line "The agent is ready".
type readyTimes struct {
	Message  string  `json:"msg"`
	Token    float64 `json:"token_ms"`
	Pool     float64 `json:"pool_ms"`
	Key      float64 `json:"key_ms"`
	Folder   float64 `json:"folder_ms"`
	Register float64 `json:"register_ms"`
	Launch   float64 `json:"launch_ms"`
	Session  float64 `json:"session_ms"`
	Total    float64 `json:"total_ms"`
}

func (l *logTail) ready() (readyTimes, bool) {
	l.wait()
	for line := range strings.Lines(l.text()) {
		var r readyTimes
		if json.Unmarshal([]byte(line), &r) == nil && r.Message == "The agent is ready" {
			return r, true
		}
	}
	return readyTimes{}, false
}
