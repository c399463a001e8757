package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// packages are Debian's packages that this program uses, and the node of
// test/external/kubernetes (the last two). runc and not crun, because
// crun refuses a machine with both versions of cgroups.
var packages = []string{
	"podman", "buildah", "runc", "conmon", "catatonit", "golang-github-containers-common",
	"docker.io", "containerd", "docker-compose", "iptables",
	"debootstrap", "git", "ca-certificates",
	"containernetworking-plugins", "iproute2",
}

// debianPath finds Debian's programs, and nothing in /usr/local: another docker there
// may be the client of another daemon.
const debianPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// installPackages installs what is missing. No daemon is started by an installation,
// and no package is removed by it.
func installPackages(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("cannot run a container engine: not root")
	}
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Println("installing Debian's packages:", strings.Join(missing, " "))
	_, updated := output(system(ctx, "apt-get", "update", "-qq")) // it may fail for a source that is not Debian's
	for _, name := range missing {
		if _, err := output(system(ctx, "apt-cache", "show", name)); err != nil {
			return errors.Join(fmt.Errorf("cannot install %s: Debian's list of packages does not have it", name), updated)
		}
	}
	allow, err := forbidDaemons()
	if err != nil {
		return err
	}
	_, err = output(system(ctx, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends", "--no-remove"}, missing...)...))
	return errors.Join(err, allow())
}

// missingPackages are those that are not installed.
func missingPackages(ctx context.Context) ([]string, error) {
	query := system(ctx, "dpkg-query", append([]string{"-W", "-f", "${db:Status-Status} ${Package}\n"}, packages...)...)
	out, err := query.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // 1: it does not know one of them
		return nil, fmt.Errorf("cannot ask for Debian's packages: %w", err)
	}
	var missing []string
	for _, name := range packages {
		if !strings.Contains("\n"+string(out), "\ninstalled "+name+"\n") {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// forbidDaemons makes Debian's packages start no daemon until allow is called. A
// machine that has such a rule already keeps it.
func forbidDaemons() (allow func() error, err error) {
	const rule = "/usr/sbin/policy-rc.d"
	if _, err := os.Lstat(rule); err == nil {
		return func() error { return nil }, nil
	}
	return func() error { return os.Remove(rule) }, os.WriteFile(rule, []byte("#!/bin/sh\nexit 101\n"), 0o755)
}

// system is one of Debian's programs, in a process group of its own, so that a
// Ctrl-C reaches this program alone. The end of ctx ends the whole group.
func system(ctx context.Context, name string, args ...string) *exec.Cmd {
	if !strings.Contains(name, "/") {
		for dir := range strings.SplitSeq(strings.TrimPrefix(debianPath, "PATH="), ":") {
			if _, err := os.Stat(dir + "/" + name); err == nil {
				name = dir + "/" + name
				break
			}
		}
	}
	c := exec.CommandContext(ctx, name, args...)
	c.Env = []string{debianPath, "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = 20 * time.Second
	return c
}

// output runs a command and returns its standard output. Its error has the end of
// all that the command printed.
func output(c *exec.Cmd) (string, error) {
	var out, said strings.Builder
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	if err != nil {
		all := strings.TrimSpace(out.String() + "\n" + said.String())
		err = fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, all[max(0, len(all)-4000):])
	}
	return strings.TrimSpace(out.String()), err
}
