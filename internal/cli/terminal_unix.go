//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalRows is how many lines a terminal shows; 0 when nobody knows.
func terminalRows(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
