//go:build !linux

package emulated

import "syscall"

// separate does nothing: Ctrl-C reaches the process directly, because only Linux kills it when the
// test dies.
func separate() *syscall.SysProcAttr { return nil }
