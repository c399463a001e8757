package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/azptend/azptend/internal/emulator"
)

// live lives one life of an agent by the image's ENTRYPOINT. Its job says whose it
// is, and asks for the container's health by the image's HEALTHCHECK.
func (i *image) live(ctx context.Context) error {
	e, err := emulator.New(emulator.Options{TimeScale: 20})
	if err != nil {
		return err
	}
	defer e.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- e.Serve(serving, listener) }()
	defer func() { stop(); <-served }()

	script := "echo user $(id -u), PID 1 is $(cat /proc/1/comm); " + strings.Join(i.health, " ") +
		"; cat /usr/local/bin/azptend >/dev/null || echo azptend cannot be read"
	job, err := e.QueueJob(emulator.JobSpec{Script: script, Force: true})
	if err != nil {
		return err
	}
	environ := append([]string{"HOME=/home/agent", "AZP_AGENT_NAME=image", "AZPTEND_FAKEAGENT_TIME_SCALE=20"}, i.environ...)
	for _, v := range e.Environment("http://" + listener.Addr().String()) {
		environ = append(environ, v.Name+"="+v.Value)
	}
	out, ended := i.command(ctx, environ, append(i.entrypoint, "--once")...).CombinedOutput()
	done, log, err := e.WaitJob(ctx, job.RequestID, func(emulator.Job, string) bool { return true })
	if err != nil {
		return err
	}
	left := 0
	for _, pool := range e.State().Pools {
		left += len(pool.Agents)
	}
	fmt.Printf("== a job in it: %s\n%s\n", done.Result, log)
	user, _, _ := strings.Cut(i.user, ":")
	wants := []string{"user " + user + ", PID 1 is azptend", "alive", "azptend cannot be read"}
	var faults []error
	for _, want := range wants {
		if !strings.Contains(log, want) {
			faults = append(faults, fmt.Errorf("the job's log lacks %q", want))
		}
	}
	if ended != nil || done.Result != "succeeded" || left != 0 {
		faults = append(faults, fmt.Errorf("azptend ended with %v, the job %s, %d agents are left\n%s", ended, done.Result, left, out))
	}
	if len(faults) == 0 {
		fmt.Printf("%d steps and a life: azptend ended with 0, and the pool is empty\n", i.steps)
	}
	return errors.Join(faults...)
}
