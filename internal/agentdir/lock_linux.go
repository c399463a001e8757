package agentdir

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/safefile"
)

// maxProcFile bounds what is read of a file in /proc.
const maxProcFile = 4 << 20

// lockHolder finds the process that has locked a directory; 0 is none that is visible
// here: it is in another container, or on another machine. SameMounts says that it has
// our mounts, so that two agents have one directory by mistake. That is also the answer
// if nothing can be found out.
func lockHolder(dir string) (pid int, sameMounts bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, true
	}
	locks, err := safefile.ReadFile("/proc/locks", maxProcFile) // a job can take any number of locks
	if err != nil {
		return 0, true
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return 0, true
	}
	if pid = flockHolder(locks, stat.Ino); pid == 0 {
		return 0, false
	}
	ours, theirs := rootMountID("self"), rootMountID(strconv.Itoa(pid))
	return pid, ours == "" || theirs == "" || ours == theirs
}

// flockHolder finds an inode in /proc/locks (proc_locks(5)). The device there is not
// always that of stat(2) (btrfs), so it is not compared.
func flockHolder(locks []byte, inode uint64) (pid int) {
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" {
			continue
		}
		if !strings.HasSuffix(fields[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if n, err := strconv.Atoi(fields[4]); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// rootMountID is the number of a process's root mount, which no other mount namespace
// has; "" if it is not readable. Unlike ns/mnt, it is readable for a process that is not
// dumpable.
func rootMountID(pid string) string {
	b, err := safefile.ReadFile(fmt.Sprintf("/proc/%s/mountinfo", pid), maxProcFile)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		// 36 35 98:0 / / rw,noatime - ext4 /dev/root rw
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == "/" {
			return fields[0]
		}
	}
	return ""
}
