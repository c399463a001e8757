package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/emulator"
)

// signal sends a signal to a container's first process, without the engine: its
// restart policy and its view of the state are then those of a process that ends by
// itself.
func (s *stage) signal(ctx context.Context, name string, signal syscall.Signal) error {
	pid, err := strconv.Atoi(s.state(ctx, name, ".State.Pid"))
	if err != nil || pid < 2 {
		return fmt.Errorf("%s has no process: %v", name, err)
	}
	return syscall.Kill(pid, signal)
}

// restartAlways runs one job for each start, under --restart always.
func restartAlways(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "again", append([]string{"--restart", "always"}, long...), "--once"); err != nil {
		return err
	}
	agents := map[int]bool{}
	for range 3 {
		agents[s.State().Pool("Default").Agents[0].ID] = true
		if err := errors.Join(s.works(ctx), s.await(ctx, emulator.EventAgentRemoved), s.await(ctx, emulator.EventSessionCreated)); err != nil {
			return err
		}
	}
	if len(agents) != 3 {
		return fmt.Errorf("three jobs ran on %d agents", len(agents))
	}
	return errors.Join(s.agents(1), s.stopped(ctx, "again"))
}

// restartOnFailure restarts after a SIGKILL, and not after a drain.
func restartOnFailure(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "failing", append([]string{"--restart", "on-failure:5"}, long...)); err != nil {
		return err
	}
	if err := s.signal(ctx, "failing", syscall.SIGKILL); err != nil {
		return err
	}
	if err := errors.Join(s.await(ctx, emulator.EventAgentRemoved), s.await(ctx, emulator.EventSessionCreated), s.agents(1), s.works(ctx)); err != nil {
		return err
	}
	// The answer may come when the container ends already, so only the end counts.
	_, _ = s.do(ctx, "exec", "failing", "azptend", "drain")
	if err := errors.Join(s.exited(ctx, "failing", 0), s.agents(0)); err != nil {
		return err
	}
	if running := s.state(ctx, "failing", ".State.Running"); running != "false" {
		return errors.New("a drained agent is started again")
	}
	return nil
}

// healthcheck checks the image's HEALTHCHECK.
func healthcheck(ctx context.Context, s *stage) error {
	options := []string{"--health-interval", "1s", "--health-timeout", "5s", "--health-retries", "1"}
	if s.name == "podman" {
		options = withoutTimers
	}
	return s.detectsStop(ctx, "agent:13", options)
}

// withoutTimers are Podman's options for a check that the scene itself starts: Podman's
// timers are systemd's.
var withoutTimers = []string{"--health-interval", "disable"}

// ociHealthcheck builds an image in Podman's default format, which has no HEALTHCHECK.
// The options of docs/images.md replace it.
func ociHealthcheck(ctx context.Context, s *stage) error {
	file := "FROM agent:13\nHEALTHCHECK --interval=30s --timeout=10s CMD [\"azptend\", \"healthcheck\"]\n"
	if err := os.WriteFile(filepath.Join(s.dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		return err
	}
	if _, err := s.do(ctx, "build", "-t", "agent:oci", "--pull=never", "--cgroup-parent", "/"+parent, s.dir); err != nil {
		return err
	}
	config, err := s.do(ctx, "image", "inspect", "-f", "{{json .}}", "agent:oci")
	if err != nil {
		return err
	}
	if strings.Contains(config, `"healthcheck"`) {
		return errors.New("an OCI image of Podman has a HEALTHCHECK: docs/images.md says that it has none")
	}
	return s.detectsStop(ctx, "agent:oci", append([]string{"--health-cmd", "azptend healthcheck"}, withoutTimers...))
}

// detectsStop stops azptend by SIGSTOP: the container becomes unhealthy, and healthy
// again when it continues.
func (s *stage) detectsStop(ctx context.Context, image string, options []string) error {
	options = append(append([]string{"-e", "AZP_AGENT_NAME=healthy"}, options...), long...)
	if err := errors.Join(s.run(ctx, "healthy", image, options), s.await(ctx, emulator.EventSessionCreated)); err != nil {
		return err
	}
	if err := s.healthIs(ctx, "healthy", "healthy"); err != nil {
		return err
	}
	if err := s.signal(ctx, "healthy", syscall.SIGSTOP); err != nil {
		return err
	}
	stuck := s.healthIs(ctx, "healthy", "unhealthy")
	if err := errors.Join(s.signal(ctx, "healthy", syscall.SIGCONT), stuck, s.healthIs(ctx, "healthy", "healthy")); err != nil {
		return err
	}
	return errors.Join(s.works(ctx), s.stopped(ctx, "healthy"))
}

// healthIs waits for what the engine says about a container's HEALTHCHECK.
func (s *stage) healthIs(ctx context.Context, name, want string) error {
	if s.name == "docker" {
		return s.until(ctx, name, ".State.Health.Status", want)
	}
	out, err := s.do(ctx, "healthcheck", "run", name)
	if (err == nil) != (want == "healthy") {
		return fmt.Errorf("%s is not %s: %q, %v", name, want, out, err)
	}
	return nil
}

// readOnly runs an agent without any right, on a read-only image.
func readOnly(ctx context.Context, s *stage) error {
	options := []string{"--read-only", "--cap-drop=ALL", "--security-opt", "no-new-privileges",
		"--tmpfs", "/agent:exec,mode=1777", "--tmpfs", "/tmp:mode=1777", "-e", "AZP_AGENT_ROOT=/agent", "-e", "HOME=/tmp"}
	if err := s.start(ctx, "closed", append(options, long...)); err != nil {
		return err
	}
	job, err := s.begin(ctx, `grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status
touch /home/agent/x /azp/x && exit 1
cat /usr/local/bin/azptend >/dev/null && exit 1
echo "PID 1 is $(cat /proc/1/comm)"; sleep 2`)
	if err != nil {
		return err
	}
	if err := s.stopped(ctx, "closed"); err != nil {
		return err
	}
	log, err := s.ends(ctx, job, "succeeded")
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "PID 1 is azptend"} {
		if !strings.Contains(log, want) {
			err = errors.Join(err, fmt.Errorf("the job's log lacks %q:\n%s", want, log))
		}
	}
	return err
}

// underInit has the engine's init as PID 1. azptend warns of it, and drains as
// always.
func underInit(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "below", append([]string{"--init"}, long...)); err != nil {
		return err
	}
	job, err := s.begin(ctx, `echo "PID 1 is $(cat /proc/1/comm)"; sleep 2`)
	if err != nil {
		return err
	}
	if err := s.stopped(ctx, "below"); err != nil {
		return err
	}
	log, err := s.ends(ctx, job, "succeeded")
	if strings.Contains(log, "PID 1 is azptend") {
		err = errors.Join(err, errors.New("azptend is PID 1"))
	}
	if said := s.logs(ctx, "below"); !strings.Contains(said, "parent") {
		err = errors.Join(err, errors.New("the log does not warn of the parent process"))
	}
	return err
}

// memoryLimit runs a job that needs more memory than the container may have. The
// kernel kills the job's process, and azptend works on.
func memoryLimit(ctx context.Context, s *stage) error {
	if err := s.start(ctx, "small", append([]string{"--memory", "256m", "--memory-swap", "256m"}, long...)); err != nil {
		return err
	}
	job, err := s.begin(ctx, "set -o pipefail; head -c 600m /dev/zero | tail | wc -c")
	if err != nil {
		return err
	}
	_, err = s.ends(ctx, job, "failed")
	return errors.Join(err, s.agents(1), s.works(ctx), s.stopped(ctx, "small"))
}

// pidsLimit runs a job that uses up the processes that the container may have, and
// keeps them. Until it ends no check that needs a process works, but azptend's HTTP
// page does. azptend works on after it.
func pidsLimit(ctx context.Context, s *stage) error {
	const page = address + ":9444"
	if err := s.start(ctx, "few", append([]string{"--pids-limit", "100", "-e", "AZP_HEALTH_ADDR=" + page}, long...)); err != nil {
		return err
	}
	// Only built-ins of the shell run after "limited". The last sleep takes the place of
	// the subshell. The job ends its processes itself, as Microsoft's agent would: the
	// fake one leaves them to the end of the container.
	job, err := s.begin(ctx, `mkfifo /tmp/go-on; exec 3<>/tmp/go-on
(for i in {1..200}; do sleep 1000 & echo $! >>/tmp/started; done; echo all began) || true
sleep 1000 & echo $! >>/tmp/started; echo limited
read -r _ <&3
mapfile -t started </tmp/started; kill "${started[@]}"`)
	if err != nil {
		return err
	}
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_, log, err := s.WaitJob(waiting, job, func(_ emulator.Job, log string) bool { return strings.Contains(log, "limited") })
	if err != nil || strings.Contains(log, "all began") {
		return fmt.Errorf("the job was not limited: %v\n%s", err, log)
	}
	var errs []error
	if out, err := s.do(ctx, "exec", "few", "azptend", "healthcheck"); err == nil {
		errs = append(errs, fmt.Errorf("a check that needs a process works while there is none: %s", out))
	}
	errs = append(errs, answers(ctx, "http://"+page+"/healthz"), s.write(ctx, "few", "/tmp/go-on"))
	_, err = s.ends(ctx, job, "failed", "succeeded")
	_, again := s.do(ctx, "exec", "few", "azptend", "healthcheck")
	return errors.Join(append(errs, err, again, s.agents(1), s.works(ctx), s.stopped(ctx, "few"))...)
}

// answers checks that a page has the status 200.
func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// write writes a line to a pipe of a container, which needs no process in it.
func (s *stage) write(ctx context.Context, name, pipe string) error {
	f, err := os.OpenFile(filepath.Join("/proc", s.state(ctx, name, ".State.Pid"), "root", pipe), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n")
	return errors.Join(err, f.Close())
}
