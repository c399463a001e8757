package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// play is one cell being played.
type play struct {
	*sandbox
	cell  cell
	suite *suite
	ctx   context.Context

	azptend *process.Process
	lives   []*process.Process // every azptend that was started, in order
	hold    string
	job     int64
	eventAt uint64       // the number of the emulator's last event before the cell's event
	former  map[int]bool // ids of the agents of an azptend that was killed

	asked    time.Time // when azptend was first asked to end: its grace period starts here
	insisted time.Time // when the second SIGINT was sent
	listener <-chan time.Time
	jobEnded <-chan time.Time // when the job's process ended
	swept    map[int]string   // processes that still ran after azptend had ended, by pid
}

// cellTimeout limits a cell. Only a cell that fails reaches it.
const cellTimeout = 3 * time.Minute

// perform plays a cell from start to end. An error means that it could not be played.
func (t *suite) perform(number int, c cell) (f facts, err error) {
	w, err := t.newSandbox(number, c)
	if err != nil {
		return facts{}, fmt.Errorf("cannot set the scene: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cellTimeout)
	defer cancel()
	p := &play{sandbox: w, cell: c, suite: t, ctx: ctx, former: map[int]bool{}}
	defer func() {
		p.sandbox.close()
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

// toTheEvent reaches the phase, and sets up the outcome of the next call.
func (p *play) toTheEvent() error {
	early := p.cell.phase.own && p.cell.event.kind != kill
	if early { // the held call gets the outcome
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

// strike makes the emulator give azptend's next call the cell's outcome.
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
		f.Method = http.MethodDelete // azptend makes other calls before the DELETE
	}
	_, err := p.emulator.AddFault(f)
	return err
}

// neverAnswers reports whether the held call is to time out: it is not released then.
func (p *play) neverAnswers() bool {
	return p.cell.phase.own && p.cell.event.kind != kill && p.cell.outcome.name == timeout
}

// fromTheEvent makes the event happen, and goes on to the end.
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

// asks notes the time when azptend is asked to end for the n-th time.
func (p *play) asks(n int) {
	if n == 1 && p.asked.IsZero() {
		p.asked = time.Now()
	}
}

// insists notes the time of the second SIGINT.
func (p *play) insists() {
	if p.insisted.IsZero() {
		p.insisted = time.Now()
	}
}

// hears waits until azptend has logged its n-th signal, or has ended.
func (p *play) hears(n int) error {
	err := p.azptend.Says(p.ctx, regexp.MustCompile(`(?s)(Received a signal.*){`+fmt.Sprint(n)+`}`))
	select {
	case <-p.azptend.Done():
		return nil
	default:
		return err
	}
}

// pause waits for d, and returns false if azptend ends before.
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
