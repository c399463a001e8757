// Package machine gives a test a machine of its own: namespaces for processes, mounts and the
// network. The kernel removes all that is in them when the test ends, also when it is killed:
// containers, volumes, bridges, and the addresses of servers. Outside of namespaces are the kernel's
// settings, which a kubelet changes, and cgroups. The process that starts the test restores them.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// Network is the pods' network, in which Address is this machine.
	Network  = "10.244.0.0/24"
	Address  = "10.244.0.1"
	FirstPod = "10.244.0.10"
	// Bridge is the interface with that address.
	Bridge = "cni0"
	// Cgroup is the parent of the pods' cgroups.
	Cgroup = "azptend-node"
	// marker is the variable that tells the test that it is inside.
	marker = "AZPTEND_NODE"
	// data is the directory of all that is on disk inside.
	data = "/var/lib/azptend-node"
)

// directories are those that a kubelet, containerd and CNI's plugins write, whatever their settings
// are. Inside, each is another one.
var directories = []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/log", "/opt/containerd"}

// Inside is whether this process is in a machine of its own. Then Run was called before.
func Inside() bool { return os.Getenv(marker) != "" }

// Run runs this program again, with the same arguments, in a machine of its own, and returns its
// exit code. SIGINT and SIGTERM are the program's.
func Run(signals <-chan os.Signal) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("cannot run a node: not root")
	}
	unlock, err := lock()
	if err != nil {
		return 1, err
	}
	defer unlock()
	if err := restore(); err != nil { // after a run that was killed
		return 1, err
	}
	if err := save(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	for _, d := range directories {
		if os.Mkdir(d, 0o755) == nil {
			defer os.Remove(d)
		}
	}
	if err := errors.Join(os.Mkdir(data, 0o700), makeCgroups()); err != nil {
		return 1, err
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Env = append(os.Environ(), marker+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC}
	if err := c.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = c.Process.Signal(s)
		case err := <-ended:
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				return 1, err
			}
			if code := c.ProcessState.ExitCode(); code >= 0 {
				return code, nil
			}
			return 1, err // a signal ended it
		}
	}
}

// Enter completes the machine, in the process that Run started: its file systems, and the network of
// its pods. The bridge has a fixed MAC. Otherwise it would be that of its newest port, and change
// when that pod ends.
func Enter() error {
	errs := []error{syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), syscall.Mount("proc", "/proc", "proc", 0, ""),
		syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")}
	for _, d := range directories {
		own := filepath.Join(data, d)
		errs = append(errs, os.MkdirAll(own, 0o755), syscall.Mount(own, d, "", syscall.MS_BIND, ""))
	}
	for _, args := range []string{"link set lo up", "link add " + Bridge + " address 02:00:0a:f4:00:01 type bridge", "addr add " + Address + "/24 dev " + Bridge, "link set " + Bridge + " up"} {
		if said, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("ip %s: %w\n%s", args, err, said))
		}
	}
	return errors.Join(errs...)
}
