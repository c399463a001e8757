//go:build unix && !linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"syscall"
)

// Outside Linux there is no subreaper, no /proc, no other user and no way to become
// undumpable. `azptend run` works there for trials, without these protections, and warns
// about that when it starts.

func unsupported(what string) error {
	return fmt.Errorf("cannot %s on this system: %w", what, errors.ErrUnsupported)
}

func adoptOrphans() error { return nil }

// DisownOrphans does nothing here.
func DisownOrphans() error { return nil }

// MakeUndumpable always fails here.
func MakeUndumpable() error { return unsupported("make the process undumpable") }

// CapabilitiesToInspect is always empty here.
func CapabilitiesToInspect() []string { return nil }

// DeafShell is always "" here.
func DeafShell() string { return "" }

func closeInheritedOnExec() {}

func preferInOOM(int) error { return nil }

func threadID() int { return 0 }

func childrenOfThread(int) []int { return nil }

func processes() ([]process, error) { return nil, unsupported("list processes") }

func processOf(int, []byte) (process, error) { return process{}, unsupported("list processes") }

// FindConnection always fails here.
func (c *Child) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, unsupported("list connections")
}

// pidfd does not exist here.
type pidfd struct{}

func openPidfd(int) (*pidfd, error) { return nil, unsupported("watch another's process") }

func (*pidfd) await()                      {}
func (*pidfd) hasEnded() bool              { return true }
func (*pidfd) close()                      {}
func (*pidfd) signal(syscall.Signal) error { return nil }

func inOtherMountNamespace(int) bool { return false }

func statInside(int, string) (fs.FileInfo, error) { return nil, unsupported("inspect a process") }

func executable(int) string          { return "" }
func realUser(int) int               { return -1 }
func stringsOf(int, string) []string { return nil }

// CheckRunAs fails for any user but this process's own.
func (u *User) CheckRunAs() error {
	if u == nil {
		return nil
	}
	return &UserError{User: u.String(), Why: "azptend can drop privileges on Linux only", Hint: "leave it unset outside Linux"}
}

func (u *User) setCredential(*syscall.SysProcAttr) {}

func (u *User) onForkThread(_ context.Context, _ <-chan struct{}, f func() error) error {
	return u.Do(f)
}

// reserveThreads does nothing here, because CheckRunAs refuses other users.
func (u *User) reserveThreads(int) error { return nil }

// Do runs f, if u is this process's own user.
func (u *User) Do(f func() error) error {
	if err := u.CheckRunAs(); err != nil {
		return err
	}
	return f()
}

type reserved struct{}
