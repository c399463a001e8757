//go:build !unix

package fakeagent

import (
	"context"
	"fmt"
	"os"
)

// Main needs signals and process groups, which only Unix has.
func Main(_ context.Context, _ []string, _ []string, _, stderr *os.File) int {
	fmt.Fprintln(stderr, "An error occurred: cannot run azptend's fake agent on this system")
	return 1
}
