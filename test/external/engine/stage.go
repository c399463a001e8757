package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// patience bounds each wait of a scene: this machine may be busy.
const patience = 2 * time.Minute

// stage is where a scene plays: an engine, an emulator with an empty pool, and a
// directory for what they say.
type stage struct {
	*engine
	*emulator.Emulator
	base       string // of the emulator's URL
	dir        string
	seen       uint64 // the event up to which the scene has waited
	containers []string
}

// set serves an emulator. drop records what was said, and removes the containers.
func set(ctx context.Context, e *engine, dir string, o emulator.Options) (s *stage, drop func() error, err error) {
	world, err := emulator.New(o)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		return nil, nil, err
	}
	serving, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- world.Serve(serving, listener) }()
	s = &stage{engine: e, Emulator: world, base: "http://" + listener.Addr().String(), dir: dir}
	return s, func() error {
		err := s.clear()
		world.Close()
		cancel()
		<-served
		return err
	}, os.MkdirAll(dir, 0o755)
}

// clear writes the logs of containers and emulator, and removes the containers.
func (s *stage) clear() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, name := range s.containers {
		state, _ := s.do(ctx, "inspect", name)
		_ = os.WriteFile(filepath.Join(s.dir, name+".json"), []byte(state), 0o644)
		_ = os.WriteFile(filepath.Join(s.dir, name+".log"), []byte(s.logs(ctx, name)), 0o644)
	}
	var journal strings.Builder
	past, done := context.WithCancel(ctx)
	done() // only those that there are
	events, _ := s.Events(past, 0)
	for _, event := range events {
		line, _ := json.Marshal(event)
		fmt.Fprintf(&journal, "%s\n", line)
	}
	for _, job := range s.State().Jobs {
		log, _ := s.JobLog(job.RequestID)
		fmt.Fprintf(&journal, "== job %d: %s %s\n%s", job.RequestID, job.State, job.Result, log)
	}
	return errors.Join(os.WriteFile(filepath.Join(s.dir, "emulator.log"), []byte(journal.String()), 0o644), s.removeContainers(ctx))
}

// logs are all that a container printed.
func (s *stage) logs(ctx context.Context, name string) string {
	both, _ := s.command(ctx, "logs", name).CombinedOutput()
	return string(both)
}

// long are the options of a container that may take a minute to end.
var long = []string{"--stop-timeout", "60", "-e", "AZP_GRACE_PERIOD=60"}

// start runs an agent's container with more options, and returns when it listens.
func (s *stage) start(ctx context.Context, name string, options []string, args ...string) error {
	if err := s.run(ctx, name, "agent:13", append([]string{"-e", "AZP_AGENT_NAME=" + name}, options...), args...); err != nil {
		return err
	}
	return s.await(ctx, emulator.EventSessionCreated)
}

// run runs an image in the background, with the emulator's settings.
func (s *stage) run(ctx context.Context, name, image string, options []string, args ...string) error {
	line := append([]string{"run", "-d", "--name", name}, s.containerOptions()...)
	for _, v := range s.Environment(s.base) {
		line = append(line, "-e", v.Name+"="+v.Value)
	}
	s.containers = append(s.containers, name)
	_, err := s.do(ctx, append(append(append(line, options...), image), args...)...)
	return err
}

// await waits for the next event of a type.
func (s *stage) await(ctx context.Context, kind string) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	e, err := s.WaitEvent(ctx, s.seen, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		return fmt.Errorf("cannot wait for %s: %w", kind, err)
	}
	s.seen = e.Seq
	return nil
}

// begin queues a job and returns when its first line is out.
func (s *stage) begin(ctx context.Context, script string) (int64, error) {
	job, err := s.QueueJob(emulator.JobSpec{Script: "echo begins\n" + script, Force: true})
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if _, _, err = s.WaitJob(ctx, job.RequestID, func(_ emulator.Job, log string) bool { return log != "" }); err != nil {
		err = fmt.Errorf("cannot wait for job %d to begin: %w", job.RequestID, err)
	}
	return job.RequestID, err
}

// ends waits for a job's end, which must be one of results, and returns its log.
func (s *stage) ends(ctx context.Context, request int64, results ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	job, log, err := s.WaitJob(ctx, request, func(j emulator.Job, _ string) bool { return j.Result != "" })
	if err != nil {
		return log, fmt.Errorf("cannot wait for job %d to end: %w", request, err)
	}
	for _, result := range results {
		if job.Result == result {
			return log, nil
		}
	}
	return log, fmt.Errorf("job %d is %s, not %s\n%s", request, job.Result, strings.Join(results, " or "), log)
}

// works runs a job that must succeed.
func (s *stage) works(ctx context.Context) error {
	job, err := s.begin(ctx, "true")
	if err != nil {
		return err
	}
	_, err = s.ends(ctx, job, "succeeded")
	return err
}

// stopped stops a container as a user would, and checks its exit code, and that the
// pool is empty.
func (s *stage) stopped(ctx context.Context, name string) error {
	if _, err := s.do(ctx, "stop", name); err != nil {
		return err
	}
	return errors.Join(s.exited(ctx, name, 0), s.agents(0))
}

// exited waits for a container's end, and checks its exit code.
func (s *stage) exited(ctx context.Context, name string, want int) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	out, err := s.do(ctx, "wait", name)
	if err != nil {
		return err
	}
	if got, err := strconv.Atoi(out); err != nil || got != want {
		return fmt.Errorf("%s exited with %q, not %d", name, out, want)
	}
	return nil
}

// agents checks how many agents the pool has.
func (s *stage) agents(want int) error {
	if got := s.State().Pool("Default").Agents; len(got) != want {
		return fmt.Errorf("the pool has %d agents, not %d", len(got), want)
	}
	return nil
}

// state is one field of a container's state, by a template.
func (s *stage) state(ctx context.Context, name, field string) string {
	out, err := s.do(ctx, "inspect", "-f", "{{"+field+"}}", name)
	if err != nil {
		return err.Error()
	}
	return out
}

// until waits for a field of a container's state to have a value.
func (s *stage) until(ctx context.Context, name, field, want string) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		got := s.state(ctx, name, field)
		if got == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s of %s is %q, not %q", field, name, got, want)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
