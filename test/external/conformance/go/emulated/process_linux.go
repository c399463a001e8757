package emulated

import "syscall"

// outOfReach gives a process a group of its own, so that Ctrl-C reaches the test alone, which ends what it has started in
// its own order; should the test die before, the process dies with it.
func outOfReach() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
