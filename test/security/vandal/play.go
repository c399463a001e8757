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
	*world
	ctx         context.Context
	lives       []*azptend
	innocents   []int64
	job         int64
	descriptors int         // the most that azptend had, where that was looked at
	next        int64       // the job after the attack
	signed      chan string // lines of signs/done
	untouched   string      // the victim before the attack
	checked     string      // what the attack's own check found wrong
	left        map[int]string
	sessions    map[string]bool // that there were before
	striker     int             // the process that said that the attack is in place
	prevented   bool            // azptend has ended it before it could strike
}

const (
	// patience bounds a cell. Only one that fails needs it.
	patience = 3 * time.Minute
	// recovery is how long azptend may take to serve again before it gets SIGTERM.
	recovery = 25 * time.Second
	// hopeless is when one that does not end is given up.
	hopeless = grace + margin + 5*time.Second
)

// perform plays a cell from its start to its end. The error says that it could
// not be played.
func (t *theatre) perform(number int, c cell) (f facts, err error) {
	w, err := t.newWorld(number, c)
	if err != nil {
		return facts{}, fmt.Errorf("cannot set the scene: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := &play{world: w, ctx: ctx, signed: make(chan string, 16), sessions: map[string]bool{}}
	defer func() {
		for _, a := range p.lives {
			_ = a.Signal(syscall.SIGKILL)
			<-a.Done()
		}
		w.close()
	}()
	go p.readSigns()
	err = p.play()
	return p.facts(), err
}

func (p *play) readSigns() {
	defer close(p.signed)
	lines := bufio.NewScanner(p.signs)
	for lines.Scan() {
		select {
		case p.signed <- lines.Text():
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *play) play() error {
	p.untouched = p.victim()
	if err := p.start(); err != nil {
		return err
	}
	if err := p.ready(p.agents()); err != nil {
		return fmt.Errorf("azptend does not get ready: %w", err)
	}
	if err := p.queueInnocents(); err != nil {
		return err
	}
	if err := p.attack(); err != nil {
		return err
	}
	return p.afterwards()
}

// start starts azptend once more.
func (p *play) start() error {
	c, err := p.command("run")
	if err != nil {
		return err
	}
	a, err := startAzptend(c)
	if err != nil {
		return err
	}
	p.lives = append(p.lives, a)
	return nil
}

// last is the azptend that runs, or ran last.
func (p *play) last() *azptend { return p.lives[len(p.lives)-1] }

// whileAlive ends with azptend, or after a time.
func (p *play) whileAlive(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := p.last().WhileRunning(p.ctx)
	limited, done := context.WithTimeout(ctx, limit)
	return limited, func() { done(); cancel() }
}

// ready waits until so many agents poll for messages.
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

// queueInnocents gives each other agent a job that outlasts the attack.
func (p *play) queueInnocents() error {
	for n := 1; n < p.agents(); n++ {
		script := fmt.Sprintf("echo running\nread -r _ <%q\n", p.path(fmt.Sprintf("signs/innocent-%d", n)))
		j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
		if err != nil {
			return err
		}
		p.innocents = append(p.innocents, j.RequestID)
		ctx, cancel := p.whileAlive(time.Minute)
		_, _, err = p.emulator.WaitJob(ctx, j.RequestID, func(_ emulator.Job, log string) bool { return strings.Contains(log, "running") })
		cancel()
		if err != nil {
			return fmt.Errorf("an innocent job does not start: %w", err)
		}
	}
	return nil
}

// queueNext gives the agent a job after the attack, and waits until it runs.
func (p *play) queueNext() error {
	script := fmt.Sprintf("echo running\nread -r _ <%q\n", p.path("signs/next"))
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

func (p *play) releaseInnocents() {
	for n := range p.innocents {
		p.open(fmt.Sprintf("innocent-%d", n+1))
	}
}

// note is what the vandal inside a job is told.
type note struct {
	Attack, Form string
	When         moment
	Dir          string // of the cell
	Azptend      int
	Health       string
	Late         bool
	Listener     int // of its job; a daemon cannot find it any more
	Worker       int
	Home, Perf   string
}

var shownAt = regexp.MustCompile(`page=http://([0-9.:]+)/`)

// attack queues the vandal, and waits until it has done what it came for.
func (p *play) attack() error {
	p.noteSessions()
	a := p.cell.attack
	n := note{Attack: a.name, Form: p.cell.form, When: a.when, Late: a.late, Dir: p.dir, Azptend: p.last().Pid()}
	if where := shownAt.FindStringSubmatch(p.said()); where != nil {
		n.Health = where[1]
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path("note"), b, 0o644); err != nil {
		return err
	}
	if a.needs == mute {
		p.last().Mute()
	}
	script := fmt.Sprintf("exec %q attack %q\n", p.path("vandal"), p.path("note"))
	j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
	if err != nil {
		return err
	}
	p.job = j.RequestID
	if err := p.sign("done", time.Minute); err != nil {
		return err
	}
	if a.needs == pids {
		p.awaitRefusals()
	}
	p.checked = p.check()
	if a.needs == files {
		p.awaitDescriptors()
		// As a server does now and then. azptend needs a descriptor for its next call.
		p.server.CloseClientConnections()
	}
	return nil
}

// sign waits for a line of the vandal's.
func (p *play) sign(want string, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case line := <-p.signed:
			if pid, is := strings.CutPrefix(line, "done "); is && want == "done" {
				p.striker, _ = strconv.Atoi(pid)
				return nil
			}
			if line == want {
				return nil
			}
			return fmt.Errorf("the attack failed: %s", line)
		case <-timer.C:
			_, log, _ := p.emulator.WaitJob(p.ctx, p.job, func(emulator.Job, string) bool { return true })
			return fmt.Errorf("the vandal does not say %q; its job's log:\n%s", want, log)
		}
	}
}

// refusals is how many forks the pids limit must have refused before azptend is
// asked to end: what it does meanwhile counts too.
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

// awaitDescriptors waits until azptend opens no more descriptors: a connection is
// made before it is accepted.
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

// struckLate waits until the daemon has struck, or azptend has ended it.
func (p *play) struckLate() error {
	ended := make(chan struct{})
	go func() { defer close(ended); awaitEnd(p.striker) }()
	select {
	case line := <-p.signed:
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
		return fmt.Errorf("the daemon does not strike")
	}
}
