package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// runDir holds what must not survive a reboot: sockets, and the state of containers.
const runDir = "/run/azptend-engine"

// parent is the cgroup of all containers, so that nothing is left of them.
const parent = "azptend-engine"

// engine is a container engine that has its storage to itself.
type engine struct {
	name    string   // "podman" or "docker"
	program []string // the client, with the options that come before each command
	env     []string
	stop    func() error
}

// podmanConfig keeps Podman off the machine's own configuration. The limits are some
// that root may set without CAP_SYS_RESOURCE.
const podmanConfig = `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "` + runDir + `/podman-tmp"
[containers]
log_driver = "k8s-file"
init_path = "/usr/bin/catatonit"
default_ulimits = ["nofile=16384:16384", "nproc=8192:8192"]
`

// command is a command of the engine's client.
func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	c := system(ctx, e.program[0], append(append([]string{}, e.program[1:]...), args...)...)
	c.Env = append(c.Env, e.env...)
	c.Dir = runDir // conmon writes a file "oom" into the directory it is in
	return c
}

func (e *engine) do(ctx context.Context, args ...string) (string, error) {
	return output(e.command(ctx, args...))
}

// startEngines prepares the engines. stop removes their containers and ends what was
// started; it is never nil.
func startEngines(ctx context.Context, o options) (engines []*engine, stop func() error, err error) {
	stop = func() error {
		var errs []error
		for _, e := range engines {
			errs = append(errs, e.stop())
		}
		return errors.Join(append(errs, removeRunDir(), removeCgroups())...)
	}
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, stop, err
	}
	for _, name := range o.engines {
		start := map[string]func(context.Context, options) (*engine, error){"podman": startPodman, "docker": startDocker}[name]
		if start == nil {
			return engines, stop, fmt.Errorf("cannot use %q: the engines are podman and docker", name)
		}
		e, err := start(ctx, o)
		if e != nil {
			engines = append(engines, e)
		}
		if err != nil {
			return engines, stop, err
		}
		if err := e.removeContainers(ctx); err != nil { // of a run that was killed
			return engines, stop, err
		}
	}
	return engines, stop, nil
}

// startPodman writes Podman's configuration; it has no daemon.
func startPodman(_ context.Context, o options) (*engine, error) {
	dir := filepath.Join(o.cache, "podman")
	files := map[string]string{
		"containers.conf": podmanConfig,
		"registries.conf": "unqualified-search-registries = [\"docker.io\"]\n",
		"policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
	}
	for name, content := range files {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			return nil, err
		}
	}
	e := &engine{
		name: "podman",
		program: []string{"podman", "--root", filepath.Join(dir, "storage"), "--runroot", filepath.Join(runDir, "podman"),
			"--tmpdir", filepath.Join(runDir, "podman-tmp"), "--storage-driver", "overlay", "--log-level", "error"},
		env: []string{"CONTAINERS_CONF=" + filepath.Join(dir, "containers.conf"), "CONTAINERS_REGISTRIES_CONF=" + filepath.Join(dir, "registries.conf")},
	}
	e.stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := e.removeContainers(ctx)
		_, pruned := e.do(ctx, "image", "prune", "-f")
		return errors.Join(err, pruned)
	}
	return e, nil
}

// removeContainers removes all of the engine's containers, which are all ours.
func (e *engine) removeContainers(ctx context.Context) error {
	list := []string{"ps", "-aq"}
	if e.name == "podman" {
		list = append(list, "--external") // those of a build that was interrupted
	}
	all, err := e.do(ctx, list...)
	if err != nil || all == "" {
		return err
	}
	_, err = e.do(ctx, append([]string{"rm", "-f", "-v"}, strings.Fields(all)...)...)
	return err
}

// removeRunDir unmounts what the engines left mounted in the directory, such as the
// namespaces of networks, and removes it.
func removeRunDir() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // the last mounts first
		fields := strings.Fields(lines[i])
		if len(fields) < 2 || !strings.HasPrefix(fields[1], runDir+"/") {
			continue
		}
		if err := syscall.Unmount(fields[1], syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("cannot unmount %s: %w", fields[1], err)
		}
	}
	return os.RemoveAll(runDir)
}

// removeCgroups removes what the engines leave of the containers' cgroups, in each
// hierarchy. A process that was killed keeps its cgroup until it is reaped.
func removeCgroups() error {
	for range 100 {
		tops, err := filepath.Glob("/sys/fs/cgroup/*/" + parent)
		if err != nil {
			return err
		}
		if _, err := os.Stat("/sys/fs/cgroup/" + parent); err == nil { // of version 2
			tops = append(tops, "/sys/fs/cgroup/"+parent)
		}
		if len(tops) == 0 {
			return nil
		}
		for _, top := range tops {
			removeCgroup(top)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("cannot remove the cgroup %s: processes are left in it", parent)
}

// removeCgroup removes a cgroup and those below it, unless they have processes.
func removeCgroup(top string) {
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append([]string{path}, dirs...) // the deepest first
		}
		return nil
	})
	for _, dir := range dirs {
		_ = os.Remove(dir)
	}
}

// containerOptions are those of every container.
func (e *engine) containerOptions() []string {
	if e.name == "podman" {
		return []string{"--network", "host", "--cgroup-parent", "/" + parent}
	}
	return []string{"--network", "host"} // the daemon has the cgroup
}
