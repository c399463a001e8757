//go:build unix

package proc

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// shells are programs that do not forward signals to the command that they wait for.
var shells = []string{"sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "yash", "zsh"}

// DeafShell returns the program of PID 1 if that is a shell that started azptend, waits for
// it, and does not catch SIGTERM; otherwise "". The kernel does not deliver SIGTERM to such
// a PID 1, so azptend does not get it either. This also works in a command beside azptend
// (docker exec).
func DeafShell() string {
	shell := programOf(1)
	if os.Getpid() == 1 || !slices.Contains(shells, shell) || catches(1, syscall.SIGTERM) {
		return ""
	}
	if os.Getppid() == 1 {
		return shell
	}
	table, err := processes()
	if err != nil {
		return ""
	}
	own := programOf(os.Getpid())
	for _, p := range table {
		if p.parent == 1 && programOf(p.pid) == own {
			return shell
		}
	}
	return ""
}

// statusSize is enough for /proc/PID/status up to the line SigCgt, also with a long list
// of groups.
const statusSize = 16 << 10

// catches says whether a process has a handler for a signal. It is true if that is not
// known.
func catches(pid int, signal syscall.Signal) bool {
	status, err := readPrefix("/proc/"+strconv.Itoa(pid)+"/status", make([]byte, statusSize))
	if err != nil {
		return true
	}
	_, after, found := bytes.Cut(status, []byte("\nSigCgt:\t"))
	mask, _, whole := bytes.Cut(after, []byte("\n"))
	caught, err := strconv.ParseUint(string(mask), 16, 64)
	return !found || !whole || err != nil || caught&(1<<(signal-1)) != 0
}
