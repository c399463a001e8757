package proc

import (
	"errors"
	"fmt"
)

// azptend runs no agent on Windows, and starts no process there. Its other commands need
// only these names.

// User is nil on Windows: every process has the rights of this one.
type User struct{}

func (*User) String() string { return "" }

// Do calls f.
func (*User) Do(f func() error) error { return f() }

// MakeUndumpable always fails on Windows.
func MakeUndumpable() error {
	return fmt.Errorf("cannot make the process undumpable on this system: %w", errors.ErrUnsupported)
}
