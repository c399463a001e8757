package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// world is the emulator, with the position in its journal.
type world struct {
	*emulator.Emulator
	base string
	seen uint64
	stop func()
}

func newWorld(ctx context.Context) (*world, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serving, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- e.Serve(serving, listener) }()
	return &world{Emulator: e, base: "http://" + listener.Addr().String(), stop: func() { cancel(); <-served }}, nil
}

func (w *world) close() {
	w.Close()
	w.stop()
}

// environment returns the settings for azptend.env.
func (w *world) environment() []string {
	var out []string
	for _, v := range w.Environment(w.base) {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// await waits for the next event of a type. There is only one agent name.
func (w *world) await(ctx context.Context, kind string) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	e, err := w.WaitEvent(ctx, w.seen, func(e emulator.Event) bool { return e.Type == kind })
	if err != nil {
		return fmt.Errorf("cannot wait for %s: %w", kind, err)
	}
	w.seen = e.Seq
	return nil
}

// begin queues a job, and returns after the first line of its log.
func (w *world) begin(ctx context.Context, script string) (int64, error) {
	job, err := w.QueueJob(emulator.JobSpec{Script: "echo begins\n" + script, Force: true})
	if err != nil {
		return 0, err
	}
	_, _, err = w.WaitJob(ctx, job.RequestID, func(_ emulator.Job, log string) bool { return log != "" })
	return job.RequestID, err
}

// play runs a job, and returns an error if it does not succeed.
func (w *world) play(ctx context.Context, script string) error {
	job, err := w.begin(ctx, script)
	if err != nil {
		return err
	}
	if _, _, err := w.WaitJob(ctx, job, func(j emulator.Job, _ string) bool { return j.Result != "" }); err != nil {
		return err
	}
	_, err = w.succeeded(job)
	return err
}

// succeeded returns the log of a job, and an error if the job did not succeed.
func (w *world) succeeded(request int64) (string, error) {
	job, err := w.Job(request)
	if err != nil {
		return "", err
	}
	log, err := w.JobLog(request)
	if err == nil && job.Result != "succeeded" {
		err = fmt.Errorf("job %d is %q\n%s", request, job.Result, log)
	}
	return log, err
}

// empty returns an error if an agent is left.
func (w *world) empty() error {
	if left := w.State().Pool("Default").Agents; len(left) != 0 {
		return fmt.Errorf("the pool has %d agents", len(left))
	}
	return nil
}
