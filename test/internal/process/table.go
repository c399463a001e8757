package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Descendants lists the processes below root, without zombies.
func Descendants(root int) []int {
	children := map[int][]int{}
	for _, pid := range pids() {
		if parent, zombie := parentOf(pid); !zombie {
			children[parent] = append(children[parent], pid)
		}
	}
	var found []int
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		found = append(found, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return found
}

// Marked lists the processes whose environment has a variable with this prefix ("NAME=value"),
// without zombies.
func Marked(variable string) []int {
	var found []int
	for _, pid := range pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && bytes.Contains(append([]byte{0}, b...), []byte("\x00"+variable)) {
			found = append(found, pid)
		}
	}
	return found
}

// Running lists the processes whose executable is in or below a directory.
func Running(dir string) map[int]string {
	found := map[int]string{}
	for _, pid := range pids() {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && strings.HasPrefix(program, dir+"/") {
			found[pid] = strings.TrimSuffix(program, " (deleted)")
		}
	}
	return found
}

// KillAllIn kills all processes whose executable is in or below a directory: those that a killed
// azptend left.
func KillAllIn(dir string) {
	for pid := range Running(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func pids() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []int
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// parentOf reads /proc/PID/stat, whose second field may contain anything and ends at the last
// parenthesis. A process that no longer exists counts as a zombie.
func parentOf(pid int) (parent int, zombie bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, true
	}
	var state string
	if _, err := fmt.Sscanf(string(b[bytes.LastIndexByte(b, ')')+1:]), " %s %d", &state, &parent); err != nil {
		return 0, true
	}
	return parent, state == "Z"
}
