//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// searchProcesses searches the command lines of all processes, the whole contents of the
// thief's ancestors up to azptend and of azptend's hooks, and the environments of azptend's
// ancestors.
func (t *thief) searchProcesses() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if cmdline, err := os.ReadFile(dir + "/cmdline"); err == nil {
			t.end.Processes++
			t.search("argv", t.nameOf(pid), cmdline)
		}
	}
	for pid := os.Getppid(); pid > 1; pid = parentOf(pid) {
		t.searchProcess(pid)
		if pid == t.plan.Supervisor {
			break
		}
	}
	for _, pid := range t.plan.Hooks {
		t.searchProcess(pid)
	}
	for pid := parentOf(t.plan.Supervisor); pid > 0; pid = parentOf(pid) {
		if environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil {
			t.search("environ", t.nameOf(pid), environ)
		} else {
			t.end.Denied++
		}
	}
}

// nameOf returns "azptend" for azptend's pid, and else the program's name.
func (t *thief) nameOf(pid int) string {
	if pid == t.plan.Supervisor {
		return "azptend"
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(comm))
}

func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// searchProcess searches a process's environment, memory and open files.
func (t *thief) searchProcess(pid int) {
	dir, name := fmt.Sprintf("/proc/%d", pid), t.nameOf(pid)
	if environ, err := os.ReadFile(dir + "/environ"); err == nil {
		t.search("environ", name, environ)
	} else {
		t.end.Denied++
	}
	if t.searchMemory(dir, name) != nil {
		t.end.Denied++
	}
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		t.end.Denied++
	}
	for _, fd := range fds {
		path := dir + "/fd/" + fd.Name()
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if f, err := os.Open(path); err == nil {
			t.scan("fd", name, f)
			f.Close()
		}
	}
}

// searchMemory searches all writable mappings.
func (t *thief) searchMemory(dir, name string) error {
	maps, err := os.Open(dir + "/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	mem, err := os.Open(dir + "/mem")
	if err != nil {
		return err
	}
	defer mem.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to int64
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); err != nil || !strings.HasPrefix(rights, "rw") {
			continue
		}
		t.scan("mem", name, io.NewSectionReader(mem, from, to-from))
	}
	return lines.Err()
}

// searchSupervisor searches azptend itself, and tries each way to access its memory and
// descriptors.
func (t *thief) searchSupervisor() {
	pid := t.plan.Supervisor
	t.searchProcess(pid)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(pid); err == nil {
		var ws syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &ws, syscall.WALL, nil)
		_ = syscall.PtraceDetach(pid)
		t.found("ptrace", "azptend", "azptend itself")
	}
	if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
		for fd := range 64 {
			if taken, err := unix.PidfdGetfd(pidfd, fd, 0); err == nil {
				unix.Close(taken)
				t.found("pidfd_getfd", "azptend", "azptend itself")
			}
		}
		unix.Close(pidfd)
	}
	page := make([]byte, 4096)
	local := []unix.Iovec{{Base: &page[0]}}
	local[0].SetLen(len(page))
	// The address need not be mapped: EFAULT also shows that this process may read.
	remote := []unix.RemoteIovec{{Base: 0xc000000000, Len: len(page)}}
	if _, err := unix.ProcessVMReadv(pid, local, remote, 0); err == nil || errors.Is(err, unix.EFAULT) {
		t.found("process_vm_readv", "azptend", "azptend itself")
	}
}
