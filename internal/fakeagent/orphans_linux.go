package fakeagent

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// resignAsSubreaper gives back the role of a subreaper.
func resignAsSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot let orphans go to the supervisor: %w", err)
	}
	return nil
}
