//go:build unix && !linux

package proc

import (
	"context"
	"syscall"
)

// CheckRunAs: outside Linux nothing runs as another user.
func (u *User) CheckRunAs() error {
	if u == nil {
		return nil
	}
	return &UserError{User: u.String(), Why: "this system cannot keep its privileges from it", Hint: "leave it unset outside Linux"}
}

func (u *User) setCredential(*syscall.SysProcAttr) {}

// onForkThread runs f; CheckRunAs has refused any other user.
func (u *User) onForkThread(_ context.Context, _ <-chan struct{}, f func() error) error {
	if err := u.CheckRunAs(); err != nil {
		return err
	}
	return f()
}

// ReserveThreads: outside Linux nothing runs as another user.
func (u *User) ReserveThreads(int) error { return nil }

// Do runs f; CheckRunAs has refused any other user.
func (u *User) Do(f func() error) error {
	if err := u.CheckRunAs(); err != nil {
		return err
	}
	return f()
}

type reserved struct{}
