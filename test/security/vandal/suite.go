package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// suite is what all cells share.
type suite struct {
	binary string // azptend
	dir    string // contains the cells' directories
	agent  string // an agent's directory, copied for each cell
	vandal string // this program, at a path where every user can run it
	sleep  string // a program that only sleeps
}

// newSuite puts the programs into a new directory. Self is this program.
func newSuite(programs launch.Programs, self string) (*suite, error) {
	removeLeftovers()
	dir, err := os.MkdirTemp("/tmp", fmt.Sprintf("%s%d-*", prefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	t := &suite{
		dir: dir, agent: filepath.Join(dir, "agent"), vandal: filepath.Join(dir, "vandal"),
		binary: filepath.Join(dir, "azptend"), sleep: filepath.Join(dir, "sleep"),
	}
	sleep, err := exec.LookPath("sleep")
	err = errors.Join(err, os.Chmod(dir, 0o755), copyProgram(self, t.vandal), copyProgram(sleep, t.sleep),
		copyProgram(programs.Azptend, t.binary), programs.LayOut(t.agent))
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// copyProgram copies a program that is about to be started. This process must not fork
// while the copy is open for writing: a child would inherit the descriptor, and starting
// the copy would fail with "text file busy".
func copyProgram(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(to, b, 0o755)
}

// close kills all processes and removes all files.
func (t *suite) close() {
	killAll(t.dir, "")
	removeTree(t.dir)
}

// removeLeftovers removes what a vandal that was itself killed has left.
func removeLeftovers() {
	left, _ := filepath.Glob("/tmp/" + prefix + "*")
	groups, _ := filepath.Glob(filepath.Join(pidsGroup, prefix+"*"))
	for _, path := range append(left, groups...) {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || pid == os.Getpid() || syscall.Kill(pid, 0) == nil {
			continue
		}
		if strings.HasPrefix(path, pidsGroup) {
			killAll("", path)
			continue
		}
		killAll(path, "")
		removeTree(path)
	}
}

// killAll kills every process of a directory and of a control group, and removes the group.
func killAll(dir, group string) {
	for range 100 {
		left := processesOf(dir, group)
		for pid := range left {
			signalTo(pid, syscall.SIGKILL, func() bool { return belongs(pid, dir, group) })
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond) // a killed process needs some time to exit
	}
	if group != "" {
		_ = os.Remove(group)
	}
}

// belongs reports whether processesOf would return this process.
func belongs(pid int, dir, group string) bool {
	proc := fmt.Sprintf("/proc/%d", pid)
	program, _ := os.Readlink(proc + "/exe")
	environ, _ := os.ReadFile(proc + "/environ")
	groups, _ := os.ReadFile(proc + "/cgroup")
	return dir != "" && (strings.HasPrefix(program, dir+"/") || strings.Contains(string(environ), markName+"="+dir+"/")) ||
		group != "" && strings.Contains(string(groups), filepath.Base(group)+"\n")
}

// signalTo sends a signal to a process through a pidfd, after checking again that it is the
// right one: the pid may have been reused.
func signalTo(pid int, s syscall.Signal, isSame func() bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if isSame() {
		_ = unix.PidfdSendSignal(fd, s, nil, 0)
	}
}

// processesOf returns the processes that run a program in the directory, were started with
// its mark, or are in the control group.
func processesOf(dir, group string) map[int]string {
	found := map[int]string{}
	if dir != "" {
		found = process.Running(dir)
		for _, pid := range process.Marked(markName + "=" + dir + "/") {
			if _, known := found[pid]; !known {
				b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				found[pid] = strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
			}
		}
	}
	if group != "" {
		b, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for line := range strings.Lines(string(b)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				found[pid] = "in the control group"
			}
		}
	}
	return found
}

// removeTree is os.RemoveAll for trees in which a job has made directories inaccessible.
func removeTree(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

func canLimitPids() bool {
	dir, err := os.MkdirTemp(pidsGroup, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err == nil {
		err = os.Remove(dir)
	}
	return err == nil
}
