//go:build !unix

package cli

import "os"

// terminalRows is how many lines a terminal shows; 0 when nobody knows.
func terminalRows(*os.File) int { return 0 }
