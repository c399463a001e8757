package proc

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// prepareInit makes this process the parent of orphans below it, and keeps children from
// inheriting descriptors that this process inherited, except the three standard streams.
// Go's own descriptors have the flag already. Kernels before 5.11 lack the call; there the
// descriptors stay open.
func prepareInit() error {
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("cannot become the reaper of orphans: %w", err)
		}
	}
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	return nil
}

// DisownOrphans undoes adoptOrphans: orphans go to the next reaper above this process.
func DisownOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot let orphans go to the supervisor: %w", err)
	}
	return nil
}

// MakeUndumpable denies other processes of the same user to read this process's environment,
// memory and descriptors, and to ptrace it. An exec resets it, so a process with an identity
// calls it first. Children are not affected (reference/identity.md 6.2).
func MakeUndumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make the process undumpable: %w", err)
	}
	return nil
}

// inspectCapabilities are the capabilities with which a process can read the memory of an
// undumpable one, or at least its environment. Each of the 41 was tried alone on Linux 6.18:
// CAP_SYS_PTRACE gives access to everything, CAP_SYS_ADMIN and CAP_PERFMON to
// /proc/PID/environ and maps. The last two follow from the kernel's rules and were not
// tried: CAP_SYS_MODULE can load code into the kernel, and CAP_SYS_RAWIO can open /dev/mem
// and /proc/kcore.
var inspectCapabilities = []struct {
	name string
	bit  int
}{
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}, {"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_PERFMON", unix.CAP_PERFMON},
	{"CAP_SYS_MODULE", unix.CAP_SYS_MODULE}, {"CAP_SYS_RAWIO", unix.CAP_SYS_RAWIO},
}

// CapabilitiesToInspect names the capabilities that let this process's children read its
// memory although it is undumpable. Root's children have the capabilities of the bounding
// set, others the ambient ones. Containers usually have none of these.
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
