package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startDocker starts a daemon of its own. It changes no firewall, makes no bridge and
// does not read the machine's configuration. A containerd that the machine runs may
// be shared, so the namespaces in it have names of their own.
func startDocker(ctx context.Context, o options) (*engine, error) {
	dir := filepath.Join(o.cache, "docker")
	socket, pidFile := "unix://"+filepath.Join(runDir, "docker.sock"), filepath.Join(runDir, "docker.pid")
	if err := endLeftDaemon(pidFile, dir); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "daemon.json")
	settings := fmt.Sprintf("{%q: %q}\n", "deprecated-key-path", filepath.Join(dir, "key.json")) // by default in /etc/docker
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(config, []byte(settings), 0o644)); err != nil {
		return nil, err
	}
	// Its end is our affair, and not ctx's: containers must be removed first.
	daemon := system(context.WithoutCancel(ctx), "dockerd", "--config-file", config, "-H", socket, "--pidfile", pidFile,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(runDir, "docker"),
		"--containerd-namespace", parent, "--containerd-plugins-namespace", parent+"-plugins",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false",
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", parent, "--storage-driver", "overlay2")
	logs, err := os.Create(filepath.Join(o.logs, "dockerd.log"))
	if err != nil {
		return nil, err
	}
	daemon.Stdout, daemon.Stderr = logs, logs
	if err := daemon.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait(); logs.Close() }()
	e := &engine{name: "docker", program: []string{"docker"}, env: []string{"DOCKER_HOST=" + socket, "DOCKER_CONFIG=" + filepath.Join(dir, "client")}}
	e.stop = func() error { return e.stopDaemon(daemon.Process, ended) }
	return e, e.awaitDaemon(ctx, ended)
}

// awaitDaemon returns when the daemon answers. On a machine with a load of 60 that took
// over a minute.
func (e *engine) awaitDaemon(ctx context.Context, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		if _, err := e.do(ctx, "version"); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("cannot start dockerd: %w; see dockerd.log", err)
		case <-ctx.Done():
			return errors.New("cannot start dockerd: it does not answer; see dockerd.log")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stopDaemon removes the containers, and ends the daemon, which ends its containerd.
func (e *engine) stopDaemon(daemon *os.Process, ended chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	err := e.removeContainers(ctx)
	_, _ = e.do(ctx, "image", "prune", "-f")
	_, _ = e.do(ctx, "builder", "prune", "-f", "--keep-storage", "4GB")
	_ = daemon.Signal(syscall.SIGTERM)
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(err, daemon.Kill(), errors.New("dockerd did not end and was killed"))
	}
}

// endLeftDaemon ends the daemon of a run that was killed. The process is only ours if
// its command line has our directory.
func endLeftDaemon(pidFile, dir string) error {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil
	}
	cmdline := fmt.Sprintf("/proc/%d/cmdline", pid)
	if line, err := os.ReadFile(cmdline); err != nil || !strings.Contains(string(line), dir) {
		return nil
	}
	fmt.Println("ending the dockerd of an earlier run, process", pid)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for range 300 {
		if _, err := os.Stat(cmdline); err != nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("cannot start dockerd: process %d, of an earlier run, does not end", pid)
}
