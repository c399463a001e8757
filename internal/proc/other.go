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

func prepareInit() error { return nil }

// DisownOrphans does nothing here.
func DisownOrphans() error { return nil }

// MakeUndumpable always fails here.
func MakeUndumpable() error { return unsupported("make the process undumpable") }

// CapabilitiesToInspect is always empty here.
func CapabilitiesToInspect() []string { return nil }

func threadID() int { return 0 }

// FindConnection always fails here.
func (c *Child) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, unsupported("list connections")
}

// Adopt always fails here.
func (i *Init) Adopt(int, func(Info) bool) (*ForeignProcess, error) {
	return nil, unsupported("watch another's process")
}

// Signal is never called: Adopt fails.
func (p *ForeignProcess) Signal(syscall.Signal) error { return unsupported("signal a process") }

func statInside(int, string) (fs.FileInfo, error) { return nil, unsupported("inspect a process") }

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
