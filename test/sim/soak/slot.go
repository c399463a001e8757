package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// runTimeout limits one run: it must be longer than a job's lock, plus the twenty seconds
// in which azptend checks that no job runs.
const runTimeout = 3 * time.Minute

// slot is a pool and a directory, in which one run follows another.
type slot struct {
	emulator *emulator.Emulator
	url      string
	place    launch.Place
	pool     string
	poolID   int
	seen     uint64 // number of the last event that was read
}

// runResult is what was observed of one run.
type runResult struct {
	scenario scenario
	rss      float64 // largest resident memory of azptend, MB
	took     time.Duration
	wrong    string // "" if nothing went wrong
}

func (s *slot) start() (*process.Process, error) {
	name := "AZP_AGENT_NAME=" + s.pool
	return process.Start(launch.Command(s.place, s.emulator, s.url, []string{name, "AZP_POOL=" + s.pool, fmt.Sprintf("AZPTEND_FAKEAGENT_TIME_SCALE=%d", scale)}, "--once"))
}

// await waits for the next event of a type in this slot's pool.
func (s *slot) await(ctx context.Context, kind string) error {
	e, err := s.emulator.WaitEvent(ctx, s.seen, func(e emulator.Event) bool { return e.Pool == s.pool && e.Type == kind })
	if err != nil {
		return fmt.Errorf("no %s: %w", kind, err)
	}
	s.seen = e.Seq
	return nil
}

// skipEvents skips the events so far.
func (s *slot) skipEvents(ctx context.Context) {
	if events, err := s.emulator.Events(ctx, max(s.seen, 1)-1); err == nil {
		s.seen = events[len(events)-1].Seq
	}
}

func (s *slot) queue(script string) (int64, error) {
	j, err := s.emulator.QueueJob(emulator.JobSpec{Pool: s.pool, Script: script, Force: true})
	return j.RequestID, err
}

func (s *slot) flagFile() string { return filepath.Join(s.place.Dir, "go-on") }

// run plays one run with its scenario.
func (s *slot) run(t scenario) (l runResult) {
	l.scenario = t
	began := time.Now()
	defer func() { l.took = time.Since(began) }()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	_ = os.Remove(s.flagFile())
	s.skipEvents(ctx)
	remove, err := t.inject(s.emulator, s.poolID)
	if err != nil {
		l.wrong = err.Error()
		return l
	}
	defer remove()
	jobs, runs, err := s.play(ctx, t, &l)
	l.wrong = s.judge(jobs, t, err)
	if l.wrong != "" {
		for _, a := range runs {
			l.wrong += "\n" + a.Output()
		}
	}
	return l
}

// play starts azptend, queues jobs, and kills what the scenario says.
func (s *slot) play(ctx context.Context, t scenario, l *runResult) (jobs []int64, runs []*process.Process, err error) {
	begin := func() (a *process.Process) {
		if err == nil {
			if a, err = s.start(); err == nil {
				runs = append(runs, a)
			}
		}
		return a
	}
	queue := func(script string) {
		if err == nil {
			var id int64
			id, err = s.queue(script)
			jobs = append(jobs, id)
		}
	}
	step := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	ends := func(a *process.Process, code int) {
		step(func() error {
			most := a.WatchMemory()
			select {
			case <-a.Done():
			case <-ctx.Done():
				process.KillAllIn(s.place.Dir) // a child may hold its output open
				a.Kill()
				return errors.New("azptend does not end")
			}
			l.rss = max(l.rss, float64(most())/1e6)
			if got := a.Code(); got != code {
				return fmt.Errorf("azptend ended with %d, want %d", got, code)
			}
			return nil
		})
	}
	const short = "echo a job of the soak"
	waits := `while [ ! -e "` + s.flagFile() + `" ]; do sleep 0.1; done`
	switch t.kills {
	case azptendBusy:
		queue(waits)
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventJobStarted) })
		step(func() error { return r.Signal(syscall.SIGKILL) })
		ends(r, 128+int(syscall.SIGKILL))
		queue(short)
		again := begin()
		step(func() error { return os.WriteFile(s.flagFile(), nil, 0o600) })
		ends(again, 0)
	case listenerStarted:
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventSessionCreated) })
		step(s.killListener)
		// Not earlier: a job that the server assigns to a dead session cannot be saved.
		step(func() error { return s.await(ctx, emulator.EventSessionCreated) })
		queue(short)
		ends(r, 0)
	case listenerBusy:
		queue(waits)
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventJobStarted) })
		step(func() error { return s.await(ctx, emulator.EventAgentDisabled) }) // by azptend, so it knows of the job
		step(s.killListener)
		ends(r, 128+int(syscall.SIGKILL))
	default:
		queue(short)
		ends(begin(), 0)
	}
	return jobs, runs, err
}

func (s *slot) killListener() error {
	for pid, program := range process.Running(s.place.Dir) {
		if filepath.Base(program) != "Agent.Listener" {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// judge checks what is left, in the emulator's records and in /proc.
func (s *slot) judge(jobs []int64, t scenario, err error) string {
	var wrong []string
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, id := range jobs {
		want := "succeeded"
		if t.losesJob {
			want = "abandoned"
		}
		if j, err := s.emulator.Job(id); err != nil || j.Result != want {
			wrong = append(wrong, fmt.Sprintf("job %d is %s %s, want %s", id, j.State, j.Result, want))
			_ = s.emulator.CancelJob(id) // otherwise the next run would get it
		}
	}
	for _, a := range s.emulator.State().Pool(s.pool).Agents {
		wrong = append(wrong, fmt.Sprintf("agent %d stayed", a.ID))
	}
	for pid := range process.Running(s.place.Dir) {
		wrong = append(wrong, fmt.Sprintf("process %d stayed", pid))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return strings.Join(wrong, ", ")
}
