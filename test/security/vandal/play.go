package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// play is one cell being played.
type play struct {
	*sandbox
	ctx          context.Context
	runs         []*azptend
	otherJobs    []int64
	job          int64
	descriptors  int         // the most that azptend held, in cells that count them
	next         int64       // the job after the attack
	reports      chan string // lines that the vandal writes to pipes/report
	victimBefore string      // the victim before the attack
	checked      string      // what the attack's own check found wrong
	left         map[int]string
	sessions     map[string]bool // ids of the sessions that existed before
	attackerPID  int             // the process that reported that the attack is in place
	prevented    bool            // azptend ended that process before it could attack
}

const (
	// cellTimeout limits a cell. Only a cell that fails reaches it.
	cellTimeout = 3 * time.Minute
	// recoveryTimeout is how long azptend may take to serve again before it gets SIGTERM.
	recoveryTimeout = 25 * time.Second
	// exitTimeout limits the wait for an azptend that should exit.
	exitTimeout = grace + margin + 5*time.Second
)

// perform plays a cell from start to end. An error means that it could not be played.
func (t *suite) perform(number int, c cell) (f facts, err error) {
	w, err := t.newSandbox(number, c)
	if err != nil {
		return facts{}, fmt.Errorf("cannot set the scene: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cellTimeout)
	defer cancel()
	p := &play{sandbox: w, ctx: ctx, reports: make(chan string, 16), sessions: map[string]bool{}}
	defer func() {
		for _, a := range p.runs {
			_ = a.Signal(syscall.SIGKILL)
			<-a.Done()
		}
		w.close()
	}()
	go p.readReports()
	err = p.play()
	return p.facts(), err
}

func (p *play) readReports() {
	defer close(p.reports)
	lines := bufio.NewScanner(p.reportPipe)
	for lines.Scan() {
		select {
		case p.reports <- lines.Text():
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *play) play() error {
	p.victimBefore = p.victim()
	if err := p.start(); err != nil {
		return err
	}
	if err := p.ready(p.agents()); err != nil {
		return fmt.Errorf("azptend does not get ready: %w", err)
	}
	if err := p.queueOtherJobs(); err != nil {
		return err
	}
	if err := p.attack(); err != nil {
		return err
	}
	return p.afterAttack()
}

// start starts azptend, the first time or again.
func (p *play) start() error {
	c, err := p.command("run")
	if err != nil {
		return err
	}
	a, err := startAzptend(c)
	if err != nil {
		return err
	}
	p.runs = append(p.runs, a)
	return nil
}

// last returns the azptend that was started last.
func (p *play) last() *azptend { return p.runs[len(p.runs)-1] }

// whileAlive returns a context that ends when azptend exits, or after the limit.
func (p *play) whileAlive(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := p.last().WhileRunning(p.ctx)
	limited, done := context.WithTimeout(ctx, limit)
	return limited, func() { done(); cancel() }
}

// ready waits until that many agents poll for messages.
func (p *play) ready(agents int) error {
	ctx, cancel := p.whileAlive(time.Minute)
	defer cancel()
	_, err := p.emulator.WaitState(ctx, func(s emulator.State) bool {
		polling := 0
		for _, a := range s.Pools[0].Agents {
			if a.Session != nil && a.Session.Polling {
				polling++
			}
		}
		return polling == agents
	})
	return err
}

// queueOtherJobs gives each other agent a job that outlasts the attack.
func (p *play) queueOtherJobs() error {
	for n := 1; n < p.agents(); n++ {
		script := fmt.Sprintf("echo running\nread -r _ <%q\n", p.path(fmt.Sprintf("pipes/other-%d", n)))
		j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
		if err != nil {
			return err
		}
		p.otherJobs = append(p.otherJobs, j.RequestID)
		ctx, cancel := p.whileAlive(time.Minute)
		_, _, err = p.emulator.WaitJob(ctx, j.RequestID, func(_ emulator.Job, log string) bool { return strings.Contains(log, "running") })
		cancel()
		if err != nil {
			return fmt.Errorf("the job of another agent does not start: %w", err)
		}
	}
	return nil
}

// queueNext gives the agent a job after the attack, and waits until it runs.
func (p *play) queueNext() error {
	script := fmt.Sprintf("echo running\nread -r _ <%q\n", p.path("pipes/next"))
	j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
	if err != nil {
		return err
	}
	p.next = j.RequestID
	ctx, cancel := p.whileAlive(time.Minute)
	defer cancel()
	_, _, err = p.emulator.WaitJob(ctx, j.RequestID, func(_ emulator.Job, log string) bool { return strings.Contains(log, "running") })
	if err != nil {
		return fmt.Errorf("the next job does not start: %w", err)
	}
	return nil
}

func (p *play) releaseOtherJobs() {
	for n := range p.otherJobs {
		p.open(fmt.Sprintf("other-%d", n+1))
	}
}

// attackSpec tells the vandal inside a job what to do.
type attackSpec struct {
	Attack, Form string
	When         moment
	Dir          string // of the cell
	Azptend      int
	Health       string
	Late         bool
	Listener     int // of its job; a daemon has no such ancestor
	Worker       int
	Home, Perf   string
}

var pageURL = regexp.MustCompile(`page=http://([0-9.:]+)/`)

// attack queues the job with the vandal, and waits until the attack is in place.
func (p *play) attack() error {
	p.recordSessions()
	a := p.cell.attack
	n := attackSpec{Attack: a.name, Form: p.cell.form, When: a.when, Late: a.late, Dir: p.dir, Azptend: p.last().Pid()}
	if where := pageURL.FindStringSubmatch(p.output()); where != nil {
		n.Health = where[1]
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path("attack.json"), b, 0o644); err != nil {
		return err
	}
	if a.needs == unreadOutput {
		p.last().Mute()
	}
	script := fmt.Sprintf("exec %q attack %q\n", p.path("vandal"), p.path("attack.json"))
	j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
	if err != nil {
		return err
	}
	p.job = j.RequestID
	if err := p.awaitAttack(); err != nil {
		return err
	}
	if a.needs == pids {
		p.awaitRefusals()
	}
	if a.name == "perf" && p.cell.form == zero {
		p.awaitRefusedCounters()
	}
	p.checked = p.check()
	if a.needs == files {
		p.awaitDescriptors()
		// Servers close connections at times. azptend then needs a descriptor for its next call.
		p.server.CloseClientConnections()
	}
	return nil
}

// awaitAttack waits until the vandal reports that the attack is in place. Only the cell's
// time limits it: a thousand processes need more than a minute on a machine that is busy.
func (p *play) awaitAttack() error {
	select {
	case line := <-p.reports:
		pid, done := strings.CutPrefix(line, "done ")
		if !done {
			return fmt.Errorf("the attack failed: %s", line)
		}
		p.attackerPID, _ = strconv.Atoi(pid)
		return nil
	case <-p.ctx.Done():
		_, log, _ := p.emulator.WaitJob(context.Background(), p.job, func(emulator.Job, string) bool { return true })
		return fmt.Errorf("the vandal did not report that the attack is in place; its job's log:\n%s", log)
	}
}

// awaitRefusedCounters waits until azptend has refused an Agent.perf without end, so that one
// that reads it has read enough to be noticed before it gets SIGTERM.
func (p *play) awaitRefusedCounters() {
	ctx, cancel := p.whileAlive(recoveryTimeout)
	defer cancel()
	for ctx.Err() == nil && p.last().peakMemory() <= mostMemory &&
		!strings.Contains(p.output(), "Cannot read the listener's performance counters") {
		time.Sleep(20 * time.Millisecond)
	}
}

// refusals is how many forks the pids limit must have refused before azptend gets SIGTERM,
// so that azptend also works under the limit for a while.
const refusals = 5000

func (p *play) awaitRefusals() {
	for p.last().alive() && p.ctx.Err() == nil {
		b, _ := os.ReadFile(filepath.Join(p.group, "pids.events"))
		var n int
		if _, err := fmt.Sscanf(string(b), "max %d", &n); err == nil && n >= refusals {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitDescriptors waits until azptend opens no more descriptors: a connection exists
// before it is accepted.
func (p *play) awaitDescriptors() {
	for same, before, looks := 0, -1, 0; same < 5 && looks < 50; looks++ {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.last().Pid()))
		if err != nil {
			return // only root may look
		}
		if same++; len(open) > before {
			same, before = 0, len(open)
		}
		p.descriptors = max(p.descriptors, len(open))
		time.Sleep(100 * time.Millisecond)
	}
}

// awaitLateAttack waits until the daemon has attacked, or azptend has ended it.
func (p *play) awaitLateAttack() error {
	ended := make(chan struct{})
	go func() { defer close(ended); awaitEnd(p.attackerPID) }()
	select {
	case line := <-p.reports:
		if line != "planted" {
			return fmt.Errorf("the attack failed: %s", line)
		}
		return nil
	case <-ended:
		p.prevented = true
		return nil
	case <-p.last().Done():
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("the daemon does not attack")
	}
}
