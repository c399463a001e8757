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

// The functions here bring a cell into its phase.

// begin starts azptend, and waits until the phase's call is held.
func (p *play) begin() error { return p.holding(p.start) }

// holding calls do, and waits until the phase's call is held. It is an error if azptend
// ends before.
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
	program := p.suite.program
	cmd := exec.Command(program[0], append(append([]string{}, program[1:]...), "run")...)
	cmd.Env, cmd.Dir = p.env, p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a, err := process.Start(cmd)
	if err != nil {
		return err
	}
	p.azptend, p.lives = a, append(p.lives, a)
	return nil
}

// serve starts azptend, and waits until its agent is idle and azptend has no call to make.
func (p *play) serve() error {
	if err := p.start(); err != nil {
		return err
	}
	if err := p.polls(p.ctx, 0); err != nil {
		return err
	}
	// azptend reads the owner tags back once the session exists. After that it makes no call of
	// its own accord.
	return p.azptend.Says(p.ctx, tagsReadBack)
}

// tagsReadBack matches each line with which azptend ends its read of the owner tags.
var tagsReadBack = regexp.MustCompile("The server stored the agent's owner tags|Cannot read the agent's owner tags back|The server did not store the agent's owner tags")

// polls waits until an agent polls in a session that began after an event of the emulator,
// or azptend has ended. Agents of an azptend that was killed do not count: they may still
// run.
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

// script is the job's: it starts a daemon in a session of its own, and waits. The daemon is
// a program in the cell's folder. It does not keep the FIFO "alive" open, which shows when
// the job's process has ended.
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
		f, err := os.Open(p.path("alive")) // blocks until the job opens it
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
	if err == nil && !p.pause(insistPause) { // a SIGINT counts as a further one only after this pause
		err = errors.New("azptend ended with a job")
	}
	return err
}

// hasDisabled reports whether a PATCH of the agent was answered, with success or an error:
// azptend goes on after both.
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

// drain runs azptend drain. If azptend has ended already, that is no error here.
func (p *play) drain() error {
	ctx, cancel := p.azptend.WhileRunning(p.ctx)
	defer cancel()
	program := p.suite.program[len(p.suite.program)-1]
	cmd := exec.CommandContext(ctx, program, "drain")
	cmd.Env = p.env
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("azptend drain: %w: %s", err, out)
	}
	return nil
}

// update asks the agent to update itself, and waits until its listener has exited.
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
