package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

type measurements struct {
	launch, ready, idle, once, memory, private *sample
}

// runTimeout limits each wait of a run.
const runTimeout = time.Minute

// azptendRun is one azptend with an emulator of its own.
type azptendRun struct {
	emulator *emulator.Emulator
	server   *httptest.Server
	dir      string // contains all directories of the run
	agent    string // the agent's directory
	azptend  *exec.Cmd
	log      bytes.Buffer
	ctx      context.Context
	cancel   context.CancelFunc
}

// prepare makes an emulator with a delay on each call, and an agent's directory.
func prepare(programs launch.Programs, delay, runTimeout time.Duration) (*azptendRun, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, err
	}
	l := &azptendRun{emulator: e, server: httptest.NewServer(e)}
	l.ctx, l.cancel = context.WithTimeout(context.Background(), runTimeout)
	if l.dir, err = os.MkdirTemp("", "azptend-bench-*"); err != nil {
		return nil, err
	}
	l.agent = filepath.Join(l.dir, "azp")
	if err := programs.LayOut(l.agent); err != nil {
		return nil, err
	}
	_, err = e.AddFault(emulator.Fault{Path: ".", Delay: delay})
	return l, err
}

func (l *azptendRun) start(programs launch.Programs, args ...string) error {
	place := launch.Place{Binary: programs.Azptend, Dir: l.agent, Path: launch.Path()}
	l.azptend = launch.Command(place, l.emulator, l.server.URL, []string{"AZP_AGENT_NAME=bench"}, args...)
	l.azptend.Stderr = &l.log
	return l.azptend.Start()
}

// begin prepares a run and starts its azptend.
func begin(programs launch.Programs, delay time.Duration, args ...string) (*azptendRun, error) {
	l, err := prepare(programs, delay, runTimeout)
	if err != nil {
		return nil, err
	}
	return l, l.start(programs, args...)
}

func (l *azptendRun) end() {
	l.cancel()
	l.emulator.Close()
	l.server.Close()
	_ = os.RemoveAll(l.dir)
}

// await waits for the first event of a type.
func (l *azptendRun) await(kind string) (emulator.Event, error) {
	e, err := l.emulator.WaitEvent(l.ctx, 0, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		return e, fmt.Errorf("no %s: %w; azptend says:\n%s", kind, err, &l.log)
	}
	return e, nil
}

// measureIdle measures a run without a job: start, ready, SIGTERM, removed.
func (m *measurements) measureIdle(programs launch.Programs, delay time.Duration) error {
	l, err := begin(programs, delay)
	if err != nil {
		return err
	}
	defer l.end()
	if _, err := l.await(emulator.EventSessionCreated); err != nil {
		return err
	}
	// An agent that polls for messages is idle.
	_, err = l.emulator.WaitState(l.ctx, func(s emulator.State) bool {
		a := s.Pools[0].Agent("bench")
		return a != nil && a.Session != nil && a.Session.Polling
	})
	if err != nil {
		return err
	}
	asked := time.Now()
	if err := l.azptend.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	removed, err := l.await(emulator.EventAgentRemoved)
	if err != nil {
		return err
	}
	m.idle.add(milliseconds(removed.Time.Sub(asked)))
	if err := l.azptend.Wait(); err != nil {
		return fmt.Errorf("azptend: %w\n%s", err, &l.log)
	}
	return m.readLog(l)
}

// readLog reads the times of the start from azptend's log.
func (m *measurements) readLog(l *azptendRun) error {
	for line := range strings.Lines(l.log.String()) {
		var ready struct {
			Message string  `json:"msg"`
			Launch  float64 `json:"to_launch_ms"`
			Total   float64 `json:"total_ms"`
		}
		if json.Unmarshal([]byte(line), &ready) == nil && ready.Message == "The agent is ready" {
			m.launch.add(ready.Launch)
			m.ready.add(ready.Total)
			return nil
		}
	}
	return fmt.Errorf("azptend was never ready:\n%s", &l.log)
}

// measureOnce measures a run with --once: start, one job, removed.
func (m *measurements) measureOnce(programs launch.Programs, delay time.Duration) error {
	l, err := begin(programs, delay, "--once")
	if err != nil {
		return err
	}
	defer l.end()
	if _, err := l.emulator.QueueJob(emulator.JobSpec{Script: "echo running; while [ ! -e $HOME/go-on ]; do sleep 0.02; done", Force: true}); err != nil {
		return err
	}
	if _, _, err := l.emulator.WaitJob(l.ctx, 1, func(_ emulator.Job, log string) bool { return strings.Contains(log, "running") }); err != nil {
		return err
	}
	if _, err := l.await(emulator.EventAgentDisabled); err != nil {
		return err
	}
	if err := m.readMemory(l.azptend.Process.Pid); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.agent, "go-on"), nil, 0o600); err != nil {
		return err
	}
	finished, err := l.await(emulator.EventJobFinished)
	if err != nil {
		return err
	}
	removed, err := l.await(emulator.EventAgentRemoved)
	if err != nil {
		return err
	}
	m.once.add(milliseconds(removed.Time.Sub(finished.Time)))
	if err := l.azptend.Wait(); err != nil {
		return fmt.Errorf("azptend: %w\n%s", err, &l.log)
	}
	return nil
}

func (m *measurements) readMemory(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			m.memory.add(kb * 1024 / 1e6)
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %f kB", &kb); err == nil {
			m.private.add(kb * 1024 / 1e6)
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
