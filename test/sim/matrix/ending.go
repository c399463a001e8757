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

// How long azptend may take to serve again before the cell asks it to end: a job's lock must
// expire, or a listener of a previous azptend must be idle for a while. It is no failure if
// it takes longer, because a platform may end azptend at any time.
const (
	recovery = 20 * time.Second
	// restart is for an azptend that was started in the folder of one that was killed, and
	// atWork if the job there never ends, so that azptend cannot serve again.
	restart = 80 * time.Second
	atWork  = 4 * time.Second
	// starts is how often azptend is started again, as a platform does with a container.
	starts = 3
)

// toTheEnd asks azptend to end if the event did not, and waits for the end.
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

// startAgain starts azptend in the same folder, as a platform does, until it serves, and
// then asks it to end.
func (p *play) startAgain() error {
	timeout := restart
	if p.cell.phase.job == endless {
		timeout = atWork
	}
	for n := 1; ; n++ {
		if err := p.start(); err != nil {
			return err
		}
		p.recovers(timeout)
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

// recovers waits until an agent polls in a session that is newer than the event or, if the
// worker was killed, until the job has a result; or until azptend has ended, or the timeout.
func (p *play) recovers(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
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

// terminate sends SIGTERM, and waits for the end.
func (p *play) terminate() error {
	if p.alive() {
		p.asks(1)
		_ = p.azptend.Signal(syscall.SIGTERM)
	}
	return p.ended()
}

// endTimeout is how long to wait for azptend's end.
const endTimeout = grace + margin + 15*time.Second

func (p *play) ended() error {
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-p.azptend.Done():
		p.swept = p.sweep()
		return nil
	case <-timer.C:
		return fmt.Errorf("azptend does not end")
	}
}

// killTimeout is how long a killed process may take to end.
const killTimeout = time.Second

// sweep returns the processes that still run after azptend has ended.
func (p *play) sweep() map[int]string {
	deadline := time.NewTimer(killTimeout)
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

// watchProgram returns a channel with the time at which the agent's program of that name
// ended, or nil if it does not run.
func (p *play) watchProgram(name string) <-chan time.Time {
	for pid, program := range process.Running(p.agentDir) {
		if filepath.Base(program) == name {
			return died(pid)
		}
	}
	return nil
}

// died returns a channel with the time at which a process ended.
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

// allExpired is long enough for sessions and locks to expire, and for azptend prune to remove
// an agent that is offline.
const allExpired = 20 * time.Minute

// pruned runs azptend prune --yes, and returns the agents that are still in the pool.
func (p *play) pruned() []int {
	program := p.suite.program[len(p.suite.program)-1]
	cmd := exec.CommandContext(p.ctx, program, "prune", "--yes")
	cmd.Env = p.env
	_ = cmd.Run() // the pool shows what it could not remove
	return p.agentIDs()
}
