package proc

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// prepareInit makes the kernel give orphans below this process to it, and keeps what this
// process inherited beyond its three streams from its children: a job has no use for a
// platform's descriptors. Go closes its own at exec anyway. Kernels before 5.11 lack the
// call for that; there they stay open.
func prepareInit() error {
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("cannot become the reaper of orphans: %w", err)
		}
	}
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	return nil
}

// DisownOrphans gives back the role that NewInit takes: orphans below this process go to the next reaper above it.
func DisownOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot let orphans go to the supervisor: %w", err)
	}
	return nil
}

// MakeUndumpable closes this process's environment, memory and descriptors to other
// processes of the same user, and ptrace with them. An exec resets it, so it is the
// first thing that a process with an identity does. Children are not affected
// (reference/identity.md 6.2).
func MakeUndumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make the process undumpable: %w", err)
	}
	return nil
}

// inspectCapabilities are those with which a process can read the memory of an
// undumpable one, or at least its environment. Each of the 41 was tried alone on
// Linux 6.18: CAP_SYS_PTRACE opens all of it, CAP_SYS_ADMIN and CAP_PERFMON open
// /proc/PID/environ and maps. The last two follow from the kernel's rules and were
// not tried: CAP_SYS_MODULE loads code into the kernel, and CAP_SYS_RAWIO opens
// /dev/mem and /proc/kcore.
var inspectCapabilities = []struct {
	name string
	bit  int
}{
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}, {"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_PERFMON", unix.CAP_PERFMON},
	{"CAP_SYS_MODULE", unix.CAP_SYS_MODULE}, {"CAP_SYS_RAWIO", unix.CAP_SYS_RAWIO},
}

// CapabilitiesToInspect names the capabilities with which this process's children
// can read its memory nevertheless. Root's children have what the bounding set
// allows, others what is ambient. Containers usually run without any of these.
func CapabilitiesToInspect() []string {
	var names []string
	for _, c := range inspectCapabilities {
		option, operation := unix.PR_CAPBSET_READ, uintptr(c.bit)
		if os.Geteuid() != 0 {
			option, operation = unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET
		}
		// An error means that the kernel does not know the capability.
		if has, err := unix.PrctlRetInt(option, operation, uintptr(c.bit), 0, 0); err == nil && has == 1 {
			names = append(names, c.name)
		}
	}
	return names
}
