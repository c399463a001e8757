package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock keeps a second run out.
func lock() (unlock func(), err error) {
	f, err := os.OpenFile("/run/azptend-node.lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("cannot run a node: another run does")
	}
	return func() { os.Remove(f.Name()); f.Close() }, nil
}

// settings are the kernel's settings that a kubelet changes.
var settings = []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"}

// saved is the file with the values from before the test. It is there as long as they have to be
// restored, and gone after a reboot, as they are.
const saved = "/run/azptend-node.json"

// save writes the file of values.
func save() error {
	values := map[string]string{}
	for _, name := range settings {
		b, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return err
		}
		values[name] = string(b)
	}
	b, err := json.Marshal(values)
	return errors.Join(err, os.WriteFile(saved, b, 0o600))
}

// restore restores what no namespace holds, if there is something to restore.
func restore() error {
	b, err := os.ReadFile(saved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	errs := []error{err, json.Unmarshal(b, &values)}
	for name, value := range values {
		errs = append(errs, os.WriteFile("/proc/sys/"+name, []byte(value), 0o644))
	}
	errs = append(errs, removeCgroups(), os.RemoveAll(data))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot restore this machine: %w", err)
	}
	return os.Remove(saved)
}

// hierarchies are the roots of the cgroups: one for each controller in version 1.
func hierarchies() []string {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{root}
	}
	all, _ := filepath.Glob(root + "/*")
	return all
}

// makeCgroups makes the parent of the pods' cgroups, which a kubelet expects. In version 1, a new
// cpuset is empty.
func makeCgroups() error {
	var errs []error
	for _, h := range hierarchies() {
		errs = append(errs, os.MkdirAll(filepath.Join(h, Cgroup), 0o755))
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if b, err := os.ReadFile(filepath.Join(h, name)); err == nil {
				errs = append(errs, os.WriteFile(filepath.Join(h, Cgroup, name), b, 0o644))
			}
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes the cgroups of all pods. A process that was killed keeps its cgroup until
// it is reaped.
func removeCgroups() error {
	for range 100 {
		left := 0
		for _, h := range hierarchies() {
			var dirs []string
			_ = filepath.WalkDir(filepath.Join(h, Cgroup), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- { // the deepest first
				if os.Remove(dirs[i]) != nil {
					left++
				}
			}
		}
		if left == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond) // there is no event to wait for
	}
	return fmt.Errorf("processes are left in the cgroup %s", Cgroup)
}
