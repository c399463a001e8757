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

// asks notes that azptend is asked to end for the n-th time.
func (p *play) asks(n int) {
	if n == 1 && p.asked.IsZero() {
		p.asked = time.Now()
	}
}

// insists notes that a person asks again: a SIGINT a while after the one before.
func (p *play) insists() {
	if p.insisted.IsZero() {
		p.insisted = time.Now()
	}
}

// hears waits until azptend has heard its n-th signal, or has ended.
func (p *play) hears(n int) error {
	err := p.azptend.Says(p.ctx, regexp.MustCompile(`(?s)(Received a signal.*){`+fmt.Sprint(n)+`}`))
	select {
	case <-p.azptend.Done():
		return nil
	default:
		return err
	}
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
