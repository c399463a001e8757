package proc

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the one that orphans below it go to.
func adoptOrphans() error {
	if os.Getpid() == 1 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the reaper of orphans: %w", err)
	}
	return nil
}

// MakeUndumpable closes this process's environment, memory and descriptors to
// other processes of the same user, and ptrace with them. An exec resets it, so
// it is the first thing a process that holds an identity does, and children are
// not affected (identity.md 6.2).
func MakeUndumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make the process undumpable: %w", err)
	}
	return nil
}

// inspectCapabilities are the capabilities with which a process can read another's memory,
// or at least its environment, although that one is not dumpable. Each of the 41
// was tried alone on Linux 6.18: CAP_SYS_PTRACE opens all of it, CAP_SYS_ADMIN and
// CAP_PERFMON open /proc/PID/environ and maps. The last two are the kernel's
// rules, and were not tried: CAP_SYS_MODULE loads code into the kernel, and
// CAP_SYS_RAWIO opens /dev/mem and /proc/kcore.
var inspectCapabilities = []struct {
	name string
	bit  int
}{
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}, {"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_PERFMON", unix.CAP_PERFMON},
	{"CAP_SYS_MODULE", unix.CAP_SYS_MODULE}, {"CAP_SYS_RAWIO", unix.CAP_SYS_RAWIO},
}

// CapabilitiesToInspect names the capabilities of this process's children with which
// they can look into it all the same. Root's children have what the bounding set
// allows, others what is ambient. Containers usually run without any of these.
func CapabilitiesToInspect() []string {
	var names []string
	for _, c := range inspectCapabilities {
		var has int
		var err error
		if os.Geteuid() == 0 {
			has, err = unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c.bit), 0, 0, 0)
		} else {
			has, err = unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(c.bit), 0, 0)
		}
		if err == nil && has == 1 { // an error: a kernel that does not know the capability
			names = append(names, c.name)
		}
	}
	return names
}

// closeInheritedOnExec closes what this process inherited beyond its three streams to
// its children: a platform's leftovers are no job's business. Ours are closed
// at exec anyway. Kernels before 5.11 lack the call, and keep the leftovers.
func closeInheritedOnExec() { _ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) }

const (
	// oomPreference is by how much a child, and what it starts, is preferred when the
	// kernel runs out of memory: by half of the memory. So azptend, which is small,
	// survives a job of many processes that are smaller still.
	oomPreference = 500
	mostPreferred = 1000 // the kernel's limit
)

// preferInOOM has the kernel kill a child before this process when memory runs out.
func preferInOOM(pid int) error {
	ours, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(ours)))
	if err != nil {
		return err
	}
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(min(score+oomPreference, mostPreferred)))
	return err
}

func self() int { return os.Getpid() }

func threadID() int { return unix.Gettid() }

// childrenOfThread are the processes that a thread of this process has forked.
// Orphans are not among them unless it is the main thread: the kernel gives
// those to the first thread that lives. Kernels without CONFIG_PROC_CHILDREN do
// not tell.
func childrenOfThread(thread int) (pids []int) {
	list, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(thread) + "/children")
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processes reads the process table from /proc. Processes that end while it
// reads are left out.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	table := make([]process, 0, len(names))
	room := make([]byte, statBufferSize)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid, room); err == nil {
			table = append(table, p)
		}
	}
	return table, nil
}

// statBufferSize is more than the longest command and the fields before statStart need.
const statBufferSize = 1024

// processOf reads one row of the process table.
func processOf(pid int) (process, error) { return readProcess(pid, make([]byte, statBufferSize)) }

// readProcess is processOf with room that is used again for the next row.
func readProcess(pid int, room []byte) (process, error) {
	stat, err := readPrefix("/proc/"+strconv.Itoa(pid)+"/stat", room)
	if err != nil {
		return process{}, err
	}
	return parseStat(stat)
}

// readPrefix reads what fits into room of a file that the kernel makes up in one
// piece. A start looks through all processes several times: what each look leaves
// to the garbage collector stays resident for as long as azptend runs.
func readPrefix(path string, room []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Read(room)
	return room[:n], err
}

// startTimeField is where the time of its start is in /proc/PID/stat, counted from the
// state, which is field 3 of proc_pid_stat(5).
const startTimeField = 22 - 3

// parseStat reads the first five fields of /proc/PID/stat, and the 22nd:
// "pid (comm) state ppid pgrp …". The command may hold spaces and parentheses;
// the last ")" ends it.
func parseStat(stat []byte) (process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("cannot parse process status %.40q", stat)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	if err != nil {
		return process{}, fmt.Errorf("cannot parse process status: %w", err)
	}
	var fields [startTimeField + 1]string
	n := 0
	for field := range bytes.FieldsSeq(stat[end+1:]) {
		fields[n] = string(field)
		if n++; n == len(fields) {
			break
		}
	}
	if n < len(fields) {
		return process{}, fmt.Errorf("cannot parse process status %.40q", stat)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("cannot parse process status: %w", err)
	}
	group, err := strconv.Atoi(fields[2])
	if err != nil {
		return process{}, fmt.Errorf("cannot parse process status: %w", err)
	}
	start, err := strconv.ParseUint(fields[startTimeField], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("cannot parse process status: %w", err)
	}
	state := fields[0]
	return process{pid: pid, parent: parent, group: group, zombie: state == "Z" || state == "X", start: start}, nil
}

// programOf is the base name of the program a process runs: of its executable,
// or, where that may not be read, of its first argument.
func programOf(pid int) string {
	if exe := executable(pid); exe != "" {
		return filepath.Base(exe)
	}
	if args := argsOf(pid); len(args) > 0 {
		return filepath.Base(args[0])
	}
	return ""
}
