package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// confinement is what azptend is started with besides its environment.
type confinement struct {
	UID    int    // 0: unchanged
	Memory uint64 // RLIMIT_AS in bytes, so that azptend cannot use up the machine's memory
	Files  uint64 // limit of descriptors; 0: unchanged
	Group  string // a pids cgroup to join; "": none
	Disk   string // where to mount a small file system; "": nowhere
	Fill   string // the directory that is copied to it
	Owner  int    // the user that owns the copy
}

// The size of the small file system, and its number of inodes. The fake agent's two
// programs take most of the space.
const (
	diskBytes  = 128 << 20
	diskInodes = 400
)

// confine applies a confinement and executes the program. It returns only if it cannot.
func confine(spec, program string, args []string) error {
	var c confinement
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	runtime.LockOSThread() // the mount namespace belongs to this thread, and exec keeps it
	if c.Group != "" {
		if err := os.WriteFile(filepath.Join(c.Group, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			return err
		}
	}
	if c.Disk != "" {
		if err := c.mount(); err != nil {
			return fmt.Errorf("cannot mount a small file system: %w", err)
		}
	}
	if err := c.limit(); err != nil {
		return err
	}
	if c.UID != 0 {
		for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(c.UID), syscall.Setuid(c.UID)} {
			if err != nil {
				return fmt.Errorf("cannot become user %d: %w", c.UID, err)
			}
		}
	}
	return syscall.Exec(program, append([]string{program}, args...), os.Environ())
}

func (c confinement) mount() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	size := fmt.Sprintf("size=%d,nr_inodes=%d,mode=755,uid=%d,gid=%d", diskBytes, diskInodes, c.Owner, c.Owner)
	if err := unix.Mount("vandal", c.Disk, "tmpfs", 0, size); err != nil {
		return err
	}
	if err := os.CopyFS(c.Disk, os.DirFS(c.Fill)); err != nil {
		return err
	}
	return chownTree(c.Owner, c.Disk)
}

func (c confinement) limit() error {
	limits := map[int]uint64{unix.RLIMIT_AS: c.Memory, unix.RLIMIT_CORE: 0}
	if c.Files > 0 {
		limits[unix.RLIMIT_NOFILE] = c.Files
	}
	for what, n := range limits {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("cannot set a limit: %w", err)
		}
	}
	return nil
}

// chownTree gives a directory and all that is below it to a user. Files with more than one
// hard link keep their owner, because other cells use them.
func chownTree(uid int, dir string) error {
	if uid == 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, is := info.Sys().(*syscall.Stat_t); is && !d.IsDir() && stat.Nlink > 1 {
			return nil
		}
		return os.Lchown(path, uid, uid)
	})
}
