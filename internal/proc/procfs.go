//go:build unix

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// childrenOfThread are the processes that a thread of this process has forked. For the main
// thread they include orphans. The list is empty on kernels without CONFIG_PROC_CHILDREN.
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

// processes reads the process table, without processes that end meanwhile. It fails if
// there is no /proc (macOS), or one of another kind (BSD), where the other functions of this
// file return nothing.
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
	buffer := make([]byte, statBufferSize)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := processOf(pid, buffer); err == nil {
			table = append(table, p)
		}
	}
	if len(table) == 0 { // this process at least is there
		return nil, errors.New("cannot list processes: /proc is not Linux's")
	}
	return table, nil
}

// processOf reads one row of the process table. The buffer can be reused for the next row.
func processOf(pid int, buffer []byte) (process, error) {
	stat, err := readPrefix("/proc/"+strconv.Itoa(pid)+"/stat", buffer)
	if err != nil {
		return process{}, err
	}
	return parseStat(stat)
}

// readPrefix reads as much of a file as fits into the buffer, with one read: the kernel
// returns these files in one piece. Callers reuse the buffer, because a start reads the
// files of all processes several times, and the garbage would stay in azptend's memory.
func readPrefix(path string, buffer []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Read(buffer)
	return buffer[:n], err
}

// startTimeField is the index of the start time in /proc/PID/stat, counted from the state,
// which is field 3 of proc_pid_stat(5).
const startTimeField = 22 - 3

// parseStat reads the first five fields and the 22nd of /proc/PID/stat:
// "pid (comm) state ppid pgrp …". The command may contain spaces and parentheses; it ends
// at the last ")".
func parseStat(stat []byte) (process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("cannot parse process status %.40q", stat)
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
	var failed error
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		failed = errors.Join(failed, err)
		return n
	}
	p := process{
		identity: identity{pid: number(string(bytes.TrimSpace(stat[:open]))), start: number(fields[startTimeField])},
		parent:   number(fields[1]),
		group:    number(fields[2]),
		zombie:   fields[0] == "Z" || fields[0] == "X",
	}
	if failed != nil {
		return process{}, fmt.Errorf("cannot parse process status: %w", failed)
	}
	return p, nil
}

// executable is the path of a process's executable; "" if it may not be read.
func executable(pid int) string {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(exe, " (deleted)") // an update has moved it
}

// realUser is a process's real user; -1 if it is not known. A process cannot change it
// without privileges. The owner of /proc/PID is not used, because it is root for an
// undumpable process.
func realUser(pid int) int {
	// Uid is the ninth line, and the lines before it are short.
	status, err := readPrefix("/proc/"+strconv.Itoa(pid)+"/status", make([]byte, 512))
	if err != nil {
		return -1
	}
	_, after, found := bytes.Cut(status, []byte("\nUid:\t"))
	first, _, whole := bytes.Cut(after, []byte("\t"))
	uid, err := strconv.Atoi(string(first))
	if !found || !whole || err != nil {
		return -1
	}
	return uid
}

// maxExecSize is the maximum size of arguments and environment in an exec: three quarters of
// the usual 8 MiB stack.
const maxExecSize = 6 << 20

// stringsOf reads a process's "environ" or "cmdline"; nil if that is not permitted. It reads
// at most maxExecSize bytes, because a process can declare any of its memory, such as
// terabytes of zeros, to be its arguments and its environment (PR_SET_MM_MAP).
func stringsOf(pid int, file string) []string {
	b, err := safefile.ReadFile("/proc/"+strconv.Itoa(pid)+"/"+file, maxExecSize)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// inOtherMountNamespace says that a process is known to be in another mount namespace.
func inOtherMountNamespace(pid int) bool {
	theirs, ours := mountNamespace("/proc/"+strconv.Itoa(pid)), mountNamespace("/proc/self")
	return theirs != "" && ours != "" && theirs != ours
}

// mountNamespace identifies a process's mount namespace; "" if it may not be read.
func mountNamespace(proc string) string {
	name, _ := os.Readlink(proc + "/ns/mnt")
	return name
}
