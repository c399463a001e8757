package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/process"
)

// play is one cell being played.
type play struct {
	*world
	cell    cell
	theatre *theatre
	ctx     context.Context

	azptend *process.Actor
	lives   []*process.Actor // azptend and its successors
	hold    string
	job     int64
	eventAt uint64       // the last entry of the journal before the event
	former  map[int]bool // agents of an azptend that was killed

	asked    time.Time // the first word that started the clock of the last life
	insisted time.Time // when a person first insisted
	listener <-chan time.Time
	jobEnded <-chan time.Time // of its process
	swept    map[int]string
}

// patience bounds a cell: only one that fails needs it.
const patience = 3 * time.Minute

// perform plays a cell from its start to its end. The error is the cell's own:
// it could not be played.
func (t *theatre) perform(number int, c cell) (f facts, err error) {
	w, err := t.newWorld(number, c)
	if err != nil {
		return facts{}, fmt.Errorf("cannot set the scene: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := &play{world: w, cell: c, theatre: t, ctx: ctx, former: map[int]bool{}}
	defer func() {
		p.world.close()
		for _, a := range p.lives {
			<-a.Done()
		}
		_ = os.RemoveAll(w.dir)
	}()
	if err = p.toTheEvent(); err == nil {
		err = p.fromTheEvent()
	}
	f = p.facts()
	return f, err
}

// toTheEvent reaches the phase.
func (p *play) toTheEvent() error {
	early := p.cell.phase.own && p.cell.event.kind != kill
	if early { // the held call is the one that is struck
		if err := p.strike(); err != nil {
			return err
		}
	}
	if err := p.cell.phase.reach(p); err != nil {
		return fmt.Errorf("cannot reach the phase: %w", err)
	}
	if !early {
		return p.strike()
	}
	return nil
}

// strike arms the outcome for the next call of azptend's.
func (p *play) strike() error {
	if p.cell.outcome.fault == nil || p.neverAnswers() {
		return nil
	}
	f := *p.cell.outcome.fault
	f.Path = agentCalls
	if p.cell.phase.name == "before the token" {
		f.Path = tokenCalls
	}
	if p.cell.phase.name == "removing" && p.cell.event.kind != kill {
		f.Method = http.MethodDelete // azptend's other calls come before it
	}
	_, err := p.emulator.AddFault(f)
	return err
}

// neverAnswers says that the held call is to time out: it stays held.
func (p *play) neverAnswers() bool {
	return p.cell.phase.own && p.cell.event.kind != kill && p.cell.outcome.name == timeout
}

// fromTheEvent is the rest.
func (p *play) fromTheEvent() error {
	if events, err := p.emulator.Events(p.ctx, 0); err == nil && len(events) > 0 {
		p.eventAt = events[len(events)-1].Seq
	}
	if p.cell.event.kind == kill {
		for _, id := range p.agentIDs() {
			p.former[id] = true
		}
	}
	p.listener = p.watchProgram("Agent.Listener")
	if err := p.cell.event.do(p); err != nil {
		return fmt.Errorf("cannot make the event happen: %w", err)
	}
	if p.cell.phase.job == ending {
		open(p.jobGate)
	}
	open(p.binGate)
	if p.hold != "" && !p.neverAnswers() {
		if err := p.emulator.Release(p.hold); err != nil {
			return err
		}
	}
	return p.toTheEnd()
}

func open(gate *os.File) { fmt.Fprintln(gate, "open") }

// begin starts azptend, and waits for the phase's hold.
func (p *play) begin() error {
	id, err := p.emulator.AddHold(*p.cell.phase.hold)
	if err != nil {
		return err
	}
	p.hold = id
	if err := p.start(); err != nil {
		return err
	}
	return p.held()
}

// held waits until the phase's call is held, or azptend has ended before it.
func (p *play) held() error {
	ctx, cancel := p.whileAlive()
	defer cancel()
	if err := p.emulator.WaitHold(ctx, p.hold); err != nil {
		return fmt.Errorf("the call to hold does not come: %w", err)
	}
	return nil
}

// whileAlive ends with azptend.
func (p *play) whileAlive() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(p.ctx)
	azptend := p.azptend
	go func() {
		select {
		case <-azptend.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (p *play) start() error {
	program := p.theatre.program
	cmd := exec.Command(program[0], append(append([]string{}, program[1:]...), "run")...)
	cmd.Env, cmd.Dir = p.env, p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a, err := process.Act(cmd)
	if err != nil {
		return err
	}
	p.azptend, p.lives = a, append(p.lives, a)
	return nil
}

// serve starts azptend, and waits until its agent is idle and at rest.
func (p *play) serve() error {
	if err := p.start(); err != nil {
		return err
	}
	if err := p.polls(p.ctx, 0); err != nil {
		return err
	}
	// The mark is read back once the session exists; the next call is another.
	return p.azptend.Says(p.ctx, regexp.MustCompile("The agent's mark is in place|had not kept the agent's mark: wrote it again"))
}

// polls waits until an agent polls in a session that began after an entry of the
// journal, or azptend has ended. After azptend was killed it must be another agent:
// the one before may serve on.
func (p *play) polls(ctx context.Context, after uint64) error {
	alive, cancel := p.whileAlive()
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	for {
		e, err := p.emulator.WaitEvent(alive, after, func(e emulator.Event) bool { return e.Type == emulator.EventSessionCreated })
		if err != nil {
			return err
		}
		over := false
		_, err = p.emulator.WaitState(alive, func(s emulator.State) bool {
			a := s.Pools[0].Agent(agentName)
			over = a == nil || a.Session == nil || a.Session.ID != e.Session || p.former[a.ID]
			return over || a.Session.Polling
		})
		if err != nil {
			return err
		}
		if !over {
			return nil
		}
		after = e.Seq
	}
}

// script is what a job does: it leaves a daemon in a session of its own, and
// waits. The daemon is a program of the cell's own, and does not hold the FIFO
// whose end says that the job's process has ended.
const script = `exec 9>"$HOME/../alive"
setsid "$HOME/daemon" 600 9>&- >/dev/null 2>&1 </dev/null &
echo running
read -r _ <"$HOME/../job-gate"
echo done`

func (p *play) queue() error {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return err
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		return err
	}
	daemon := p.path("home/daemon")
	if err := os.WriteFile(daemon, b, 0o755); err != nil {
		return err
	}
	p.before = p.files()
	ended := make(chan time.Time, 1)
	go func() {
		f, err := os.Open(p.path("alive")) // waits for the job
		if err != nil {
			return
		}
		defer f.Close()
		_, _ = io.Copy(io.Discard, f)
		ended <- time.Now()
	}()
	p.jobEnded = ended
	j, err := p.emulator.QueueJob(emulator.JobSpec{Script: script, Force: true})
	p.job = j.RequestID
	return err
}

func (p *play) assign() error {
	if err := p.serve(); err != nil {
		return err
	}
	id, err := p.emulator.AddHold(*p.cell.phase.hold)
	if err != nil {
		return err
	}
	p.hold = id
	if err := p.queue(); err != nil {
		return err
	}
	return p.held()
}

func (p *play) work() error {
	if err := p.serve(); err != nil {
		return err
	}
	if err := p.queue(); err != nil {
		return err
	}
	ctx, cancel := p.whileAlive()
	defer cancel()
	_, _, err := p.emulator.WaitJob(ctx, p.job, func(_ emulator.Job, log string) bool { return strings.Contains(log, "running") })
	return err
}

func (p *play) drainAtWork() error {
	if err := p.work(); err != nil {
		return err
	}
	if err := p.drain(); err != nil {
		return err
	}
	ctx, cancel := p.whileAlive()
	defer cancel()
	_, err := p.emulator.WaitEvent(ctx, 0, func(e emulator.Event) bool { return e.Type == emulator.EventAgentDisabled })
	if err == nil && !p.pause(insistPause) { // a SIGINT is another word
		err = errors.New("azptend ended with a job")
	}
	return err
}

func (p *play) drainIdle() error {
	if err := p.serve(); err != nil {
		return err
	}
	id, err := p.emulator.AddHold(*p.cell.phase.hold)
	if err != nil {
		return err
	}
	p.hold = id
	if err := p.drain(); err != nil {
		return err
	}
	if err := p.held(); err != nil {
		return err
	}
	if !p.pause(insistPause) {
		return errors.New("azptend ended without removing its agent")
	}
	return nil
}

// drain is azptend drain. It may come too late, which is no error here.
func (p *play) drain() error {
	ctx, cancel := p.whileAlive()
	defer cancel()
	program := p.theatre.program[len(p.theatre.program)-1]
	cmd := exec.CommandContext(ctx, program, "drain")
	cmd.Env = p.env
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("azptend drain: %w: %s", err, out)
	}
	return nil
}

// update asks the agent to update itself, and waits for its listener's end.
func (p *play) update() error {
	if err := p.serve(); err != nil {
		return err
	}
	const path = "/emulated/_apis/distributedtask/pools/1/messages?agentId=1&api-version=7.1-preview.1"
	req, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.server.URL+path, bytes.NewReader([]byte("null")))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("", p.emulator.DefaultPAT())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("cannot ask for an update: %s", resp.Status)
	}
	return p.azptend.Says(p.ctx, regexp.MustCompile("The listener ended.*exit code 3"))
}

// asks notes that azptend is asked to end for the n-th time.
func (p *play) asks(n int) {
	if n == 1 && p.asked.IsZero() {
		p.asked = time.Now()
	}
}

// insists notes that a person asks again: a SIGINT a while after the word before,
// be that azptend drain.
func (p *play) insists() {
	if p.insisted.IsZero() {
		p.insisted = time.Now()
	}
}

// hears waits until azptend has heard its n-th signal, or has ended.
func (p *play) hears(n int) error {
	ctx, cancel := p.whileAlive()
	defer cancel()
	err := p.azptend.Says(ctx, regexp.MustCompile(`(?s)(Heard a signal.*){`+fmt.Sprint(n)+`}`))
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// pause lets time pass as long as azptend lives; false when it ended first.
func (p *play) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.azptend.Done():
		return false
	}
}
