//go:build unix && !linux

package proc

import "syscall"

// MayBecome: outside Linux nothing runs as another user.
func (u *User) MayBecome() error {
	if u == nil {
		return nil
	}
	return &UserError{User: u.String(), Why: "this system cannot keep its privileges from it", Hint: "leave it unset outside Linux"}
}

func (u *User) fork(path string, argv []string, attr *syscall.ProcAttr, _ <-chan struct{}) (int, error) {
	if err := u.MayBecome(); err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, argv, attr)
}

// Do runs f; MayBecome has refused any other user.
func (u *User) Do(f func() error) error {
	if err := u.MayBecome(); err != nil {
		return err
	}
	return f()
}
