//go:build unix && !linux

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"syscall"
)

// Outside Linux there is no subreaper, no /proc and no way to become
// undumpable: `azptend run` works there for trying things out, without these
// protections, and says so when it starts.

func adoptOrphans() error { return nil }

// ErrNoProtection says that this system cannot hide a process from its user.
var ErrNoProtection = errors.New("cannot make the process undumpable on this system")

// MakeUndumpable always fails with ErrNoProtection here.
func MakeUndumpable() error { return ErrNoProtection }

// CapabilitiesToInspect is empty: there are no capabilities here, and MakeUndumpable says
// what is open.
func CapabilitiesToInspect() []string { return nil }

// Ancestor is a process above this one.
type Ancestor struct {
	PID     int
	Program string
	Environ []string
}

// Ancestors cannot be listed here.
func Ancestors(*User) []Ancestor { return nil }

func closeInheritedOnExec() {}

func preferInOOM(int) error { return nil }

func self() int { return os.Getpid() }

func threadID() int { return 0 }

func childrenOfThread(int) []int { return nil }

func processes() ([]process, error) {
	return nil, errors.New("cannot list processes on this system")
}

func programOf(int) string { return "" }

// FindConnection cannot be answered here: the error is errors.ErrUnsupported.
func (c *Child) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, fmt.Errorf("cannot list connections on this system: %w", errors.ErrUnsupported)
}

// pidfd stands for a process; there is no such thing here.
type pidfd struct{}

func openPidfd(int) (*pidfd, error) {
	return nil, errors.New("cannot watch another's process on this system")
}

func (*pidfd) await()                      {}
func (*pidfd) ended() bool                 { return true }
func (*pidfd) close()                      {}
func (*pidfd) signal(syscall.Signal) error { return nil }

// kill sends SIGKILL to a process, or, where the number is negative, to a group.
func (p process) kill() bool { return syscall.Kill(p.pid, syscall.SIGKILL) == nil }

func inOtherMountNamespace(int) bool { return false }

func statInside(int, string) (fs.FileInfo, error) {
	return nil, fmt.Errorf("cannot look into another process on this system: %w", errors.ErrUnsupported)
}

func executable(int) string  { return "" }
func realUser(int) int       { return -1 }
func environOf(int) []string { return nil }
func argsOf(int) []string    { return nil }
