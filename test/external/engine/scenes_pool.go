package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// keeper removes the ghost of a container that was killed and removed. The keeper's
// image has no shell, so its exit code is all that the container shows.
func keeper(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "ghost", long); err != nil {
		return err
	}
	if err := s.killContainer(ctx, "ghost"); err != nil {
		return err
	}
	if _, err := s.do(ctx, "rm", "ghost"); err != nil {
		return err
	}
	if err := s.agents(1); err != nil {
		return err
	}
	s.Advance(10 * time.Minute) // its session expires
	if err := s.await(ctx, emulator.EventSessionExpired); err != nil {
		return err
	}
	s.Advance(time.Hour)
	read := []string{"--read-only", "--cap-drop=ALL", "--security-opt", "no-new-privileges", "-e", "AZP_KEEP_LISTEN=off", "-e", "AZP_KEEP_PLACEHOLDER=false"}
	if err := s.run(ctx, "keeper", "azptend-keep", read, "keep", "--interval", "5s"); err != nil {
		return err
	}
	return errors.Join(s.await(ctx, emulator.EventAgentRemoved), s.stopped(ctx, "keeper"))
}

// composeFile is a service as docs/images.md has it. The host's network gives all
// containers the host's name, so agents have a prefix and not a name.
const composeFile = `version: "2.4"
services:
  agent:
    image: agent:13
    network_mode: host
    stop_grace_period: 60s
    restart: unless-stopped
    environment:
`

// compose scales a service up, down in the middle of jobs, and takes it down.
func compose(ctx context.Context, s *stage) error {
	project, err := s.composeProject()
	if err != nil {
		return err
	}
	if err := project(ctx, "up", "-d", "--scale", "agent=3"); err != nil {
		return err
	}
	for range 3 {
		if err := s.await(ctx, emulator.EventSessionCreated); err != nil {
			return err
		}
	}
	var jobs []int64
	for range 3 {
		job, err := s.begin(ctx, "sleep 5")
		if err != nil {
			return err
		}
		jobs = append(jobs, job)
	}
	if err := errors.Join(s.agents(3), project(ctx, "up", "-d", "--scale", "agent=1"), s.agents(1)); err != nil {
		return err
	}
	last, err := s.begin(ctx, "sleep 3")
	if err != nil {
		return err
	}
	if err := errors.Join(project(ctx, "down"), s.agents(0)); err != nil {
		return err
	}
	var errs []error
	for _, job := range append(jobs, last) {
		_, err := s.ends(ctx, job, "succeeded")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// composeProject writes the file, and returns what runs a command on it.
func (s *stage) composeProject() (func(ctx context.Context, args ...string) error, error) {
	var file strings.Builder
	file.WriteString(composeFile)
	settings := append(s.Environment(s.base), emulator.EnvVar{Name: "AZP_GRACE_PERIOD", Value: "60"},
		emulator.EnvVar{Name: "AZP_AGENT_NAME_PREFIX", Value: "composed"})
	for _, v := range settings {
		fmt.Fprintf(&file, "      %s: %q\n", v.Name, v.Value)
	}
	path := filepath.Join(s.dir, "docker-compose.yml")
	s.containers = []string{"scene_agent_1", "scene_agent_2", "scene_agent_3"}
	return func(ctx context.Context, args ...string) error {
		c := system(ctx, "docker-compose", append([]string{"-p", "scene", "-f", path}, args...)...)
		c.Env = append(c.Env, s.env...)
		_, err := output(c)
		return err
	}, os.WriteFile(path, []byte(file.String()), 0o644)
}
