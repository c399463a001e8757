//go:build unix

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsTerminal says whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := windowSize(f)
	return err == nil
}

// Rows is the number of lines of a terminal; 0 if it is not known.
func Rows(f *os.File) int {
	size, err := windowSize(f)
	if err != nil {
		return 0
	}
	return int(size.Row)
}

// windowSize is the size of a terminal. Other files have none.
func windowSize(f *os.File) (size *unix.Winsize, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := conn.Control(func(fd uintptr) { size, err = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) })
	if controlErr != nil {
		return nil, controlErr
	}
	return size, err
}
