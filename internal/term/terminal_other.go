//go:build !unix

package term

import "os"

// IsTerminal says whether a person may be looking at a file.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Rows is how many lines a terminal shows, 0 if that is unknown.
func Rows(*os.File) int { return 0 }
