package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// How long a life that was not asked to end is waited for, to serve again, before
// it is asked: a lock must lapse, a listener that nobody knows must be idle for a
// while. A platform that has a reason does not wait at all, so none is a failure.
const (
	recovery = 20 * time.Second
	// restart is for an azptend that starts again in the folder of one that was
	// killed; one whose job never ends does not serve again.
	restart = 80 * time.Second
	atWork  = 4 * time.Second
	// starts is how often a platform starts a container again here.
	starts = 3
)

// toTheEnd waits for the end, and asks for it where the event has not.
func (p *play) toTheEnd() error {
	switch p.cell.event.kind {
	case kill:
		return p.startAgain()
	case ends:
		p.recovers(recovery)
		return p.terminate()
	}
	return p.ended()
}

// startAgain starts azptend in the same folder, as a platform does, until it
// serves, and then asks it to end.
func (p *play) startAgain() error {
	patience := restart
	if p.cell.phase.job == endless {
		patience = atWork
	}
	for n := 1; ; n++ {
		if err := p.start(); err != nil {
			return err
		}
		p.recovers(patience)
		if p.alive() || n == starts {
			return p.terminate()
		}
	}
}

func (p *play) alive() bool {
	select {
	case <-p.azptend.Done():
		return false
	default:
		return true
	}
}

// recovers waits until an agent serves again that did not before the event, or
// the job of a worker that was killed is over; or azptend has ended, or time is up.
func (p *play) recovers(patience time.Duration) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if p.cell.event.name == workerKilled {
		alive, done := p.azptend.WhileRunning(p.ctx)
		defer done()
		stop := context.AfterFunc(ctx, done)
		defer stop()
		_, _, _ = p.emulator.WaitJob(alive, p.job, func(j emulator.Job, _ string) bool { return j.Result != "" })
		return
	}
	_ = p.polls(ctx, p.eventAt)
}

// terminate is the platform's SIGTERM at last.
func (p *play) terminate() error {
	if p.alive() {
		p.asks(1)
		_ = p.azptend.Signal(syscall.SIGTERM)
	}
	return p.ended()
}

// endless is when one that does not end is given up.
const hopeless = grace + margin + 15*time.Second

func (p *play) ended() error {
	timer := time.NewTimer(hopeless)
	defer timer.Stop()
	select {
	case <-p.azptend.Done():
		p.swept = p.sweep()
		return nil
	case <-timer.C:
		return fmt.Errorf("azptend does not end")
	}
}

// lingers is how long a killed process may take to go.
const lingers = time.Second

// sweep is what still runs when azptend has ended.
func (p *play) sweep() map[int]string {
	deadline := time.NewTimer(lingers)
	defer deadline.Stop()
	for {
		left := p.left()
		if len(left) == 0 {
			return nil
		}
		gone := make(chan struct{})
		for pid := range left {
			go func() { <-died(pid); close(gone) }()
			break
		}
		select {
		case <-gone:
		case <-deadline.C:
			return left
		}
	}
}

// watchProgram tells when the agent's program of a name has ended; nil where none
// runs.
func (p *play) watchProgram(name string) <-chan time.Time {
	for pid, program := range process.Running(p.agentDir) {
		if filepath.Base(program) == name {
			return died(pid)
		}
	}
	return nil
}

// died tells when a process has ended.
func died(pid int) <-chan time.Time {
	told := make(chan time.Time, 1)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		told <- time.Now()
		return told
	}
	go func() {
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || (err != nil && err != unix.EINTR) {
				told <- time.Now()
				return
			}
		}
	}()
	return told
}

// locksLapse is longer than any session and any lock lives, and than an agent
// must be offline before azptend prune takes it for a ghost.
const locksLapse = 20 * time.Minute

// pruned is what is left after azptend prune --yes.
func (p *play) pruned() []int {
	program := p.theatre.program[len(p.theatre.program)-1]
	cmd := exec.CommandContext(p.ctx, program, "prune", "--yes")
	cmd.Env = p.env
	_ = cmd.Run() // what it could not remove is seen in the pool
	return p.agentIDs()
}
