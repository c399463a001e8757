//go:build !linux

package emulated

import "syscall"

// outOfReach leaves a process within the reach of Ctrl-C: only Linux ends it with the test that has started it.
func outOfReach() *syscall.SysProcAttr { return nil }
