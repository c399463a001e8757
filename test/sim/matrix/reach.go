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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// This file is how a phase is reached.

// begin starts azptend, and waits for the phase's hold.
func (p *play) begin() error { return p.holding(p.start) }

// holding does what leads to the phase's call, and waits until that call is held, or
// azptend has ended before it.
func (p *play) holding(do func() error) (err error) {
	if p.hold, err = p.emulator.AddHold(*p.cell.phase.hold); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	ctx, cancel := p.azptend.WhileRunning(p.ctx)
	defer cancel()
	if err := p.emulator.WaitHold(ctx, p.hold); err != nil {
		return fmt.Errorf("the call to hold does not come: %w", err)
	}
	return nil
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
	return p.azptend.Says(p.ctx, markLookedFor)
}

// markLookedFor is each way in which the look for the mark ends.
var markLookedFor = regexp.MustCompile("The server stored the agent's owner tags|Cannot read the agent's owner tags back|The server did not store the agent's owner tags")

// polls waits until an agent polls in a session that began after an entry of the
// journal, or azptend has ended. After azptend was killed it must be another agent:
// the one before may serve on.
func (p *play) polls(ctx context.Context, after uint64) error {
	alive, cancel := p.azptend.WhileRunning(p.ctx)
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
	return p.holding(p.queue)
}

func (p *play) work() error {
	if err := p.serve(); err != nil {
		return err
	}
	if err := p.queue(); err != nil {
		return err
	}
	ctx, cancel := p.azptend.WhileRunning(p.ctx)
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
	ctx, cancel := p.azptend.WhileRunning(p.ctx)
	defer cancel()
	_, err := p.emulator.WaitState(ctx, func(emulator.State) bool { return p.hasDisabled() })
	if err == nil && !p.pause(insistPause) { // a SIGINT is another word
		err = errors.New("azptend ended with a job")
	}
	return err
}

// hasDisabled says that a PATCH of the agent was answered, well or not: azptend
// goes on then.
func (p *play) hasDisabled() bool {
	return slices.ContainsFunc(p.emulator.Calls(), func(c emulator.Call) bool {
		return c.Done && c.Method == "PATCH" && strings.Contains(c.Path, "/agents/")
	})
}

func (p *play) drainIdle() error {
	if err := p.serve(); err != nil {
		return err
	}
	if err := p.holding(p.drain); err != nil {
		return err
	}
	if !p.pause(insistPause) {
		return errors.New("azptend ended without removing its agent")
	}
	return nil
}

// drain is azptend drain. It may come too late, which is no error here.
func (p *play) drain() error {
	ctx, cancel := p.azptend.WhileRunning(p.ctx)
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
	req.SetBasicAuth("", p.emulator.DefaultPAT)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("cannot ask for an update: %s", resp.Status)
	}
	return p.azptend.Says(p.ctx, regexp.MustCompile("The listener exited.*exit code 3"))
}
