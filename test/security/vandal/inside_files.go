package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// replaceDirectory moves a directory of the agent away and plants the form in its place.
func replaceDirectory(name string) func(*vandal) error {
	return func(v *vandal) error { return v.replace(filepath.Join(v.Home, name)) }
}

func (v *vandal) replace(path string) error {
	if err := os.Rename(path, path+"-moved"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return v.plant(path, v.Form)
}

func (v *vandal) roots() (err error) {
	for n := 1; n <= 3; n++ {
		err = errors.Join(err, v.replace(filepath.Join(filepath.Dir(v.Home), fmt.Sprint(n))))
	}
	return err
}

func (v *vandal) registeredDirectory() error { return v.replace(filepath.Join(v.Dir, "azp", "handed")) }

func (v *vandal) temporaryLitter() error {
	if err := manyFiles(v.Home, ".azptend-new-%d", 10_000); err != nil {
		return err
	}
	for i := range 2000 {
		dir := filepath.Join(v.Home, fmt.Sprintf(".azptend-perf-%d", i))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(filepath.Join(dir, "in"), 0o755), os.Chmod(dir, 0)); err != nil {
			return err
		}
	}
	return nil
}

// nextPerf plants a file in the perf directory of the next listener, before that listener
// writes to it.
func (v *vandal) nextPerf() error {
	return v.whenMade(v.Home, func(path string) bool {
		return strings.HasPrefix(filepath.Base(path), ".azptend-perf-")
	}, func(path string) error {
		return v.plant(filepath.Join(path, "Agent.perf"), v.Form)
	})
}

// whenMade ends the listener, and acts on the first matching file that is created in a
// directory after that.
func (v *vandal) whenMade(dir string, match func(string) bool, act func(string) error) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := w.Add(dir); err != nil {
		return err
	}
	if err := v.signalListener(syscall.SIGINT); err != nil {
		return err
	}
	limit := time.After(time.Minute)
	for {
		select {
		case e := <-w.Events:
			if e.Has(fsnotify.Create) && match(e.Name) {
				return act(e.Name)
			}
		case <-limit:
			return fmt.Errorf("nothing new in %s", dir)
		}
	}
}

func (v *vandal) credentials() error {
	return errors.Join(v.plant(filepath.Join(v.Home, ".credentials"), v.Form), v.plant(filepath.Join(v.Home, ".credentials_rsaparams"), v.Form))
}

func (v *vandal) records() error {
	found, _ := filepath.Glob(filepath.Join(v.Home, ".azptend*"))
	root := filepath.Join(v.Home, ".azptend-root")
	err := v.plant(root, v.Form)
	for _, path := range found {
		// Two goroutines that replace one path in turns would remove each other's file.
		if info, e := os.Lstat(path); path != root && e == nil && !info.IsDir() {
			err = errors.Join(err, v.plant(path, v.Form))
		}
	}
	return err
}

func (v *vandal) rootRecords() error {
	roots, err := filepath.Glob(filepath.Join(filepath.Dir(v.Home), "[1-9]"))
	for _, root := range roots {
		err = errors.Join(err, v.plant(filepath.Join(root, ".azptend-root"), v.Form))
	}
	if len(roots) != 3 {
		err = errors.Join(err, fmt.Errorf("there are roots %v", roots))
	}
	return err
}

func (v *vandal) registeredFiles() (err error) {
	for _, name := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
		err = errors.Join(err, v.plant(filepath.Join(v.Dir, "azp", "handed", name), v.Form))
	}
	return err
}

func (v *vandal) agentDirectory() error {
	if v.Form == "emptied" {
		entries, err := os.ReadDir(v.Home)
		for _, e := range entries {
			_ = os.RemoveAll(filepath.Join(v.Home, e.Name())) // some of root's files stay
		}
		return err
	}
	return v.damageDirectory(v.Home)
}

// damageDirectory closes, renames or replaces a directory, as the form says.
func (v *vandal) damageDirectory(path string) error {
	if v.Form == "mode 0" {
		return os.Chmod(path, 0)
	}
	if err := os.Rename(path, path+"-moved"); err != nil {
		return err
	}
	if v.Form == "renamed" {
		return nil
	}
	return v.plant(path, v.Form)
}

func (v *vandal) perfLitter() error {
	switch v.Form {
	case "20,000 files":
		return manyFiles(v.Perf, "file-%d", 20_000)
	case "3,000 levels deep":
		return nestedDirectories(v.Perf, 3000)
	}
	for i := range 200 {
		dir := filepath.Join(v.Perf, fmt.Sprint("dir-", i))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(filepath.Join(dir, "in"), 0o755), os.Chmod(dir, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) controlSocket() error {
	path := v.controlDirectory()
	_ = os.Rename(path, path+"-moved") // it may be in a place that jobs cannot reach
	switch v.Form {
	case "renamed":
		return nil
	case "own socket":
		return v.fakeControlSocket(path)
	}
	return v.plant(path, v.Form)
}

// takeLock waits for the lock on the agent's directory, and keeps it.
func (v *vandal) takeLock() error {
	f, err := os.Open(v.Home)
	if err != nil {
		return err
	}
	v.held = append(v.held, f)
	go func() { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	return nil
}

func (v *vandal) fillDisk() error {
	f, err := os.Create(filepath.Join(v.Home, "_work", "fill"))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *vandal) useInodes() error {
	dir := filepath.Join(v.Home, "_work", "fill")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := manyFiles(dir, "file-%d", 100_000); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the inodes do not run out: %w", err)
	}
	return nil
}

// exhaustInotify creates inotify instances up to the user's limit.
func (v *vandal) exhaustInotify() error {
	for range 10_000 {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if errors.Is(err, syscall.EMFILE) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("inotify instances do not run out")
}
