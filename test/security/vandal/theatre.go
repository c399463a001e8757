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

// theatre is what all cells share.
type theatre struct {
	binary string // azptend
	dir    string // cells' directories are below it
	agent  string // an agent's directory to be copied
	vandal string // this program, where everybody may run it
	sleep  string // a program that only sleeps
}

// openTheatre lays out the programs. Self is this program.
func openTheatre(programs launch.Programs, self string) (*theatre, error) {
	sweepOld()
	dir, err := os.MkdirTemp("/tmp", fmt.Sprintf("%s%d-*", prefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	t := &theatre{
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

// copyProgram copies a program that is about to be started. This process may not
// fork while the copy is open for writing: starting it would fail with "text file
// busy".
func copyProgram(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(to, b, 0o755)
}

// close leaves nothing: no process, no control group, no file.
func (t *theatre) close() {
	killAllOf(t.dir, "")
	removeTree(t.dir)
}

// sweepOld removes what a vandal has left that was killed itself.
func sweepOld() {
	left, _ := filepath.Glob("/tmp/" + prefix + "*")
	groups, _ := filepath.Glob(filepath.Join(pidsGroup, prefix+"*"))
	for _, path := range append(left, groups...) {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || pid == os.Getpid() || syscall.Kill(pid, 0) == nil {
			continue
		}
		if strings.HasPrefix(path, pidsGroup) {
			killAllOf("", path)
			continue
		}
		killAllOf(path, "")
		removeTree(path)
	}
}

// killAllOf ends every process of a directory and of a control group, and
// removes the group.
func killAllOf(dir, group string) {
	for range 100 {
		left := processesOf(dir, group)
		for pid := range left {
			signalTo(pid, syscall.SIGKILL, func() bool { return belongs(pid, dir, group) })
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond) // a killed process takes its time to go
	}
	if group != "" {
		_ = os.Remove(group)
	}
}

// belongs says of one process what processesOf says of all.
func belongs(pid int, dir, group string) bool {
	proc := fmt.Sprintf("/proc/%d", pid)
	program, _ := os.Readlink(proc + "/exe")
	environ, _ := os.ReadFile(proc + "/environ")
	groups, _ := os.ReadFile(proc + "/cgroup")
	return dir != "" && (strings.HasPrefix(program, dir+"/") || strings.Contains(string(environ), markName+"="+dir+"/")) ||
		group != "" && strings.Contains(string(groups), filepath.Base(group)+"\n")
}

// signalTo sends a signal to a process by its descriptor, once it has been looked
// at again: its number may be another's by now.
func signalTo(pid int, s syscall.Signal, still func() bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if still() {
		_ = unix.PidfdSendSignal(fd, s, nil, 0)
	}
}

// processesOf are those that run programs in a directory, were started with its
// mark, or are in a control group.
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
				found[pid] = "of the control group"
			}
		}
	}
	return found
}

// removeTree is os.RemoveAll for trees in which a job has closed directories.
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
