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

// demoRun is one run of the demo: an emulator in this process, and azptend as a
// separate process.
type demoRun struct {
	out        *term.Output
	color      bool
	verbose    bool
	executable string
	dir        string
	agentDir   string
	startedAt  time.Time

	emulator  *emulator.Emulator
	base      string
	served    chan error
	page      *keeperPage
	stop      context.CancelFunc
	lastEvent uint64 // the number of the last event that was printed

	init      *proc.Init
	child     *proc.Child
	path      string // of PATH, for the jobs
	log       logTail
	sigtermAt time.Time // SIGTERM
	removedAt time.Time
}

func startDemo(p cli.Process, verbose bool) (_ *demoRun, err error) {
	s := &demoRun{out: &term.Output{W: p.Stdout}, verbose: verbose, startedAt: time.Now(), served: make(chan error, 1), color: p.WantsColor()}
	defer func() {
		if err != nil {
			s.close()
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
	if s.page, err = openPage(ctx, s.base+"/"+s.emulator.State().Org, "Default", s.emulator.DefaultPAT); err != nil {
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

// close stops everything that was started.
func (d *demoRun) close() {
	if d.child != nil {
		d.child.KillTree(context.Background())
		d.log.wait()
	}
	if d.init != nil {
		d.init.Close()
	}
	if d.stop != nil {
		d.stop()
		<-d.served //nolint:errcheck // the demo is over
		if d.page != nil {
			d.page.running.Wait()
		}
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}

// start starts azptend like a container, with an environment only.
func (d *demoRun) start() error {
	env := []string{"PATH=" + d.path, "HOME=" + d.dir, "AZP_AGENT_NAME=demo", "AZP_PLATFORM=none", "AZP_AGENT_DIR=" + d.agentDir, "AZP_LOG_FORMAT=json"}
	for _, v := range d.emulator.Environment(d.base) {
		env = append(env, v.Name+"="+v.Value)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	d.child, err = d.init.Start(context.Background(), proc.Spec{Path: d.executable, Args: []string{"run"}, Env: env, Dir: d.dir, Stderr: w})
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	d.log.follow(r, d.printLogLine)
	return nil
}

// waitEvent waits for the next event of a type.
func (d *demoRun) waitEvent(ctx context.Context, kind string) (emulator.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	go func() { // the wait ends if azptend exits
		select {
		case <-d.child.Done():
			if kind != emulator.EventAgentRemoved {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	e, err := d.emulator.WaitEvent(ctx, d.lastEvent, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		return e, fmt.Errorf("waited for %s: %w", kind, err)
	}
	d.lastEvent = e.Seq
	return e, nil
}

func (d *demoRun) printf(format string, args ...any) {
	fmt.Fprintf(d.out, format, args...)
}

// print prints a line about an event.
func (d *demoRun) print(who, format string, args ...any) {
	name := fmt.Sprintf("%-9s", who)
	if d.color {
		name = "\x1b[1m" + name + "\x1b[0m"
	}
	d.printf("%6.2f s  %s %s\n", time.Since(d.startedAt).Seconds(), name, fmt.Sprintf(format, args...))
}

// showLines prints the complete lines of a job's log after the first shown lines, and returns
// how many are printed now.
func (d *demoRun) showLines(log string, shown int) int {
	lines := strings.SplitAfter(log, "\n")
	for _, line := range lines[min(shown, len(lines)):] {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		d.printf("%9s %9s │ %s\n", "", "", withoutTime(strings.TrimSuffix(line, "\n")))
		shown++
	}
	return shown
}

// withoutTime removes the time stamp at the beginning of Azure DevOps' log lines.
func withoutTime(line string) string {
	stamp, rest, found := strings.Cut(line, " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); found && err == nil {
		return rest
	}
	return line
}

func (d *demoRun) printLogLine(line string) {
	if d.verbose {
		d.printf("%9s %9s · %s\n", "", "", line)
	}
}

// printLog prints azptend's log after a failure.
func (d *demoRun) printLog() {
	if !d.verbose {
		d.printf("\nazptend's log:\n%s\n", d.log.text())
	}
}

// printTimes prints a table of durations. Those of the start are measured by azptend, those of
// the end by the emulator.
func (d *demoRun) printTimes() {
	ready := d.log.ready()
	if ready == nil {
		return
	}
	d.printf("\n")
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "phase\tms\t\n")
	for _, row := range [][2]string{
		{"token", "token_ms"}, {"pool", "pool_ms"}, {"key (beside)", "key_ms"}, {"folder (beside)", "directory_ms"},
		{"register", "register_ms"}, {"launch", "launch_ms"}, {"session", "session_ms"}, {"start to ready", "total_ms"},
	} {
		ms, _ := ready[row[1]].(float64)
		fmt.Fprintf(table, "%s\t%.1f\t\n", row[0], ms)
	}
	fmt.Fprintf(table, "%s\t%.1f\t\n", "SIGTERM to removed", float64(d.removedAt.Sub(d.sigtermAt).Milliseconds()))
	table.Flush()
	d.printf("\nthe demo took %.1f s; the jobs slept for 1.8 s of it\n", time.Since(d.startedAt).Seconds())
}

// logTail stores a process's log.
type logTail struct {
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

func (l *logTail) follow(r io.ReadCloser, each func(string)) {
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		defer r.Close()
		for scan := bufio.NewScanner(r); scan.Scan(); {
			l.mu.Lock()
			l.lines = append(l.lines, scan.Text())
			l.mu.Unlock()
			each(scan.Text())
		}
	}()
}

// wait waits for the end of the log.
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

// ready returns the fields of the log line "The agent is ready", with the durations of the
// start; nil if there is none.
func (l *logTail) ready() map[string]any {
	l.wait()
	for line := range strings.Lines(l.text()) {
		var members map[string]any
		if json.Unmarshal([]byte(line), &members) == nil && members["msg"] == "The agent is ready" {
			return members
		}
	}
	return nil
}
