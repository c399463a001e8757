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

// patience bounds one life: a job's lock has to lapse in it, and twenty seconds
// of making sure that nobody works.
const patience = 3 * time.Minute

// seat is a pool and a folder, in which one life follows another.
type seat struct {
	emulator *emulator.Emulator
	url      string
	place    launch.Place
	pool     string
	poolID   int
	seen     uint64 // the last event that was looked at
}

// lived is what one life was like.
type lived struct {
	trouble trouble
	rss     float64 // the most resident memory of azptend, MB
	took    time.Duration
	wrong   string // "" if all was well
}

func (s *seat) start() (*process.Actor, error) {
	name := "AZP_AGENT_NAME=" + s.pool
	return process.Act(launch.Command(s.place, s.emulator, s.url, []string{name, "AZP_POOL=" + s.pool, fmt.Sprintf("AZPTEND_FAKEAGENT_TIME_SCALE=%d", scale)}, "--once"))
}

// await waits for the next event of a type in this seat's pool.
func (s *seat) await(ctx context.Context, kind string) error {
	e, err := s.emulator.WaitEvent(ctx, s.seen, func(e emulator.Event) bool { return e.Pool == s.pool && e.Type == kind })
	if err != nil {
		return fmt.Errorf("no %s: %w", kind, err)
	}
	s.seen = e.Seq
	return nil
}

// skip leaves behind what has happened so far.
func (s *seat) skip(ctx context.Context) {
	if events, err := s.emulator.Events(ctx, max(s.seen, 1)-1); err == nil {
		s.seen = events[len(events)-1].Seq
	}
}

func (s *seat) queue(script string) (int64, error) {
	j, err := s.emulator.QueueJob(emulator.JobSpec{Pool: s.pool, Script: script, Force: true})
	return j.RequestID, err
}

func (s *seat) sign() string { return filepath.Join(s.place.Dir, "go-on") }

// live lives one life, with its trouble.
func (s *seat) live(t trouble) (l lived) {
	l.trouble = t
	began := time.Now()
	defer func() { l.took = time.Since(began) }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = os.Remove(s.sign())
	s.skip(ctx)
	out, err := t.in(s.emulator, s.poolID)
	if err != nil {
		l.wrong = err.Error()
		return l
	}
	defer out()
	jobs, runs, err := s.play(ctx, t, &l)
	l.wrong = s.judge(jobs, t, err)
	if l.wrong != "" {
		for _, a := range runs {
			l.wrong += "\n" + a.Said()
		}
	}
	return l
}

// play starts what is to be started, and does what is to be done to it.
func (s *seat) play(ctx context.Context, t trouble, l *lived) (jobs []int64, runs []*process.Actor, err error) {
	begin := func() (a *process.Actor) {
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
	ends := func(a *process.Actor, code int) {
		step(func() error {
			most := a.WatchMemory()
			select {
			case <-a.Done():
			case <-ctx.Done():
				process.KillAllIn(s.place.Dir) // who may hold its output open
				a.Kill()
				return errors.New("it does not end")
			}
			l.rss = max(l.rss, float64(most())/1e6)
			if got := a.Code(); got != code {
				return fmt.Errorf("it ended with %d, want %d", got, code)
			}
			return nil
		})
	}
	const short = "echo a job of the soak"
	waits := `while [ ! -e "` + s.sign() + `" ]; do sleep 0.1; done`
	switch t.cuts {
	case azptendBusy:
		queue(waits)
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventJobStarted) })
		step(func() error { return r.Signal(syscall.SIGKILL) })
		ends(r, 128+int(syscall.SIGKILL))
		queue(short)
		again := begin()
		step(func() error { return os.WriteFile(s.sign(), nil, 0o600) })
		ends(again, 0)
	case listenerStarted:
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventSessionCreated) })
		step(s.killListener)
		// Not before: a job that the server assigns to a dead session is nobody's to save.
		step(func() error { return s.await(ctx, emulator.EventSessionCreated) })
		queue(short)
		ends(r, 0)
	case listenerBusy:
		queue(waits)
		r := begin()
		step(func() error { return s.await(ctx, emulator.EventJobStarted) })
		step(func() error { return s.await(ctx, emulator.EventAgentDisabled) }) // by azptend, which has heard of the job
		step(s.killListener)
		ends(r, 128+int(syscall.SIGKILL))
	default:
		queue(short)
		ends(begin(), 0)
	}
	return jobs, runs, err
}

func (s *seat) killListener() error {
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

// judge looks at what is left, by the emulator's records and the system's.
func (s *seat) judge(jobs []int64, t trouble, err error) string {
	var wrong []string
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, id := range jobs {
		want := "succeeded"
		if t.lossful {
			want = "abandoned"
		}
		if j, err := s.emulator.Job(id); err != nil || j.Result != want {
			wrong = append(wrong, fmt.Sprintf("job %d is %s %s, want %s", id, j.State, j.Result, want))
			_ = s.emulator.CancelJob(id) // or the next life would have it
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
