package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// scene is one situation in a container's life.
type scene struct {
	name    string
	play    func(context.Context, *stage) error
	engine  string  // the only engine that plays it; "" is each
	scaling float64 // of the emulator's slow times; 0 is 1
}

var scenes = []scene{
	{name: "one-job", play: oneJob},
	{name: "stop-during-job", play: stopDuringJob},
	{name: "kill-and-restart", play: killAndRestart},
	{name: "kill-during-job", play: killDuringJob, scaling: 20},
	{name: "stop-before-lock-expires", play: stopBeforeLockExpires, scaling: 20},
	{name: "restart-always-once", play: restartAlways},
	{name: "restart-on-failure", play: restartOnFailure},
	{name: "healthcheck", play: healthcheck},
	{name: "oci-healthcheck", play: ociHealthcheck, engine: "podman"},
	{name: "read-only", play: readOnly},
	{name: "init", play: underInit},
	{name: "memory-limit", play: memoryLimit},
	{name: "pids-limit", play: pidsLimit},
	{name: "ten-seconds", play: tenSeconds},
	{name: "keeper", play: keeper},
	{name: "compose", play: compose, engine: "docker"},
}

// sceneLimit bounds one scene.
const sceneLimit = 8 * time.Minute

// play plays all scenes with each engine. A scene that fails does not keep the others
// from playing.
func play(ctx context.Context, o options, engines []*engine) error {
	var failed []string
	for _, e := range engines {
		for _, sc := range scenes {
			name := sc.name + "/" + e.name
			if !o.scenes.MatchString(name) || sc.engine != "" && sc.engine != e.name {
				continue
			}
			dir := filepath.Join(o.logs, sc.name+"-"+e.name)
			err := step("scene "+name, func() error { return sc.run(ctx, e, dir) })
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted: %w", ctx.Err())
			}
			if err != nil {
				fmt.Printf("     %s\n     logs are in %s\n", strings.ReplaceAll(err.Error(), "\n", "\n     "), dir)
				failed = append(failed, name)
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d scenes failed: %s", len(failed), strings.Join(failed, ", "))
	}
	return nil
}

func (sc scene) run(ctx context.Context, e *engine, dir string) (err error) {
	ctx, stop := context.WithTimeout(ctx, sceneLimit)
	defer stop()
	s, drop, err := set(ctx, e, dir, emulator.Options{TimeScale: sc.scaling})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	return sc.play(ctx, s)
}

// oneJob runs the image as it is, on both Debians, for one job. The job has the
// image's user, sees a healthy azptend as PID 1, and cannot read its executable.
func oneJob(ctx context.Context, s *stage) error {
	const script = `echo "user $(id -u), PID 1 is $(cat /proc/1/comm)"; azptend healthcheck
cat /usr/local/bin/azptend >/dev/null || echo azptend cannot be read`
	for _, image := range []string{"agent:12", "agent:13"} {
		name := strings.ReplaceAll(image, ":", "-")
		if err := s.run(ctx, name, image, []string{"-e", "AZP_AGENT_NAME=" + name}, "--once"); err != nil {
			return err
		}
		job, err := s.begin(ctx, script)
		if err != nil {
			return err
		}
		log, err := s.ends(ctx, job, "succeeded")
		for _, want := range []string{"user 10001, PID 1 is azptend", "alive", "azptend cannot be read"} {
			if !strings.Contains(log, want) {
				err = errors.Join(err, fmt.Errorf("the job's log lacks %q:\n%s", want, log))
			}
		}
		if err := errors.Join(err, s.exited(ctx, name, 0), s.agents(0)); err != nil {
			return err
		}
	}
	return nil
}

// stopDuringJob stops a container that has a job. The job ends well, and one that
// waits is left to others.
func stopDuringJob(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "stopped", long); err != nil {
		return err
	}
	job, err := s.begin(ctx, "sleep 3")
	if err != nil {
		return err
	}
	next, err := s.QueueJob(emulator.JobSpec{Script: "true"})
	if err != nil {
		return err
	}
	if err := s.stopped(ctx, "stopped"); err != nil {
		return err
	}
	_, err = s.ends(ctx, job, "succeeded")
	if waiting, _ := s.Job(next.RequestID); waiting.Agent != "" {
		err = errors.Join(err, errors.New("the stopping agent took the next job"))
	}
	return err
}

// killAndRestart kills a container and starts it again. azptend finds its record and
// replaces the dead agent.
func killAndRestart(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "killed", long); err != nil {
		return err
	}
	dead := s.State().Pool("Default").Agents[0].ID
	if err := s.killContainer(ctx, "killed"); err != nil {
		return err
	}
	if _, err := s.do(ctx, "start", "killed"); err != nil {
		return err
	}
	if err := errors.Join(s.await(ctx, emulator.EventAgentRemoved), s.await(ctx, emulator.EventSessionCreated), s.agents(1)); err != nil {
		return err
	}
	if s.State().Pool("Default").Agents[0].ID == dead {
		return errors.New("the dead agent is still registered")
	}
	return errors.Join(s.works(ctx), s.stopped(ctx, "killed"))
}

// killContainer is the SIGKILL of a platform.
func (s *stage) killContainer(ctx context.Context, name string) error {
	if _, err := s.do(ctx, "kill", "--signal", "KILL", name); err != nil {
		return err
	}
	return s.exited(ctx, name, 137)
}

// killDuringJob loses a job, which is abandoned when its lock expires. Then the
// restarted container removes the dead agent and works on.
func killDuringJob(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "killed", long); err != nil {
		return err
	}
	job, err := s.begin(ctx, "sleep 1000")
	if err != nil {
		return err
	}
	if err := s.killContainer(ctx, "killed"); err != nil {
		return err
	}
	if _, err := s.do(ctx, "start", "killed"); err != nil {
		return err
	}
	_, err = s.ends(ctx, job, "abandoned")
	return errors.Join(err, s.works(ctx), s.agents(1), s.stopped(ctx, "killed"))
}

// stopBeforeLockExpires stops a restarted container whose dead agent still has a job. The
// server refuses to remove that agent until the job's lock expires, so azptend uses the
// grace period to wait for that.
func stopBeforeLockExpires(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "killed", long); err != nil {
		return err
	}
	job, err := s.begin(ctx, "sleep 1000")
	if err != nil {
		return err
	}
	if err := s.killContainer(ctx, "killed"); err != nil {
		return err
	}
	if _, err := s.do(ctx, "start", "killed"); err != nil {
		return err
	}
	err = s.stopped(ctx, "killed")
	_, ended := s.ends(ctx, job, "abandoned")
	return errors.Join(err, ended)
}

// tenSeconds stops a container in Docker's default time, which cannot finish a job.
// The job is cancelled, and the agent is removed, before the SIGKILL.
func tenSeconds(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "hurried", nil); err != nil {
		return err
	}
	job, err := s.begin(ctx, "while :; do sleep 1; done")
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := s.do(ctx, "stop", "hurried"); err != nil {
		return err
	}
	fmt.Printf("     the container ended in %s\n", since(began))
	_, err = s.ends(ctx, job, "canceled")
	err = errors.Join(err, s.exited(ctx, "hurried", 75)) // a job was cut; a SIGKILL would be 137
	if !strings.Contains(s.logs(ctx, "hurried"), "The grace period is too short to finish a job") {
		err = errors.Join(err, errors.New("the log does not say at the start that a job cannot be finished"))
	}
	return errors.Join(err, s.agents(0))
}
