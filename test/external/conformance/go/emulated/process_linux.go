package emulated

import "syscall"

// separate puts a process into its own group, so that Ctrl-C reaches only the test, which then
// stops its processes in order. If the test dies first, the kernel kills the process.
func separate() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
