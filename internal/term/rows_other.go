//go:build !unix

package term

import "os"

// Rows is how many lines a terminal shows, 0 if that is unknown.
func Rows(*os.File) int { return 0 }
