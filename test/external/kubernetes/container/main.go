// Command container starts a container for the test's kubelet, as process 1 in its own namespaces.
// It creates the container's file system (an overlay on this machine's, with the image's files and
// the pod's volumes), changes to the container's user, and executes the container's program. It
// needs root and an overlay file system, but no container engine.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/test/external/kubernetes/spec"
)

func main() {
	runtime.LockOSThread() // the attributes below belong to a thread, and the same thread must call Exec
	if err := become(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the container:", err)
		os.Exit(128) // the exit code of a container runtime that fails
	}
}

// become only returns if it fails.
func become(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c spec.Container
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	root, err := makeRoot(c)
	if err != nil {
		return err
	}
	if err := enter(root, c); err != nil {
		return err
	}
	path := find(c)
	if path == "" {
		return fmt.Errorf("%s: %w", c.Args[0], exec.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", path, unix.Exec(path, c.Args, c.Env))
}

// makeRoot creates the root in c.Scratch. Nobody else sees its mounts, because the mount namespace
// is our own.
func makeRoot(c spec.Container) (string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("container", c.Scratch, "tmpfs", 0, ""); err != nil {
		return "", fmt.Errorf("tmpfs: %w", err)
	}
	root := filepath.Join(c.Scratch, "root")
	if err := overlay(c.Scratch, "/", root); err != nil {
		return "", err
	}
	for _, m := range []spec.Mount{{Source: "/dev", Target: "/dev"}, {Source: "/sys", Target: "/sys", ReadOnly: true}} {
		if err := bind(root, m); err != nil {
			return "", err
		}
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "", fmt.Errorf("/proc: %w", err)
	}
	for i, folder := range c.Image { // only the container sees its changes, as with image layers
		target, err := securejoin.SecureJoin(root, folder.Target)
		if err != nil {
			return "", err
		}
		if err := overlay(filepath.Join(c.Scratch, fmt.Sprint("layer", i)), folder.Source, target); err != nil {
			return "", err
		}
		if folder.ReadOnly || c.ReadOnlyRoot {
			if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				return "", fmt.Errorf("%s read-only: %w", folder.Target, err)
			}
		}
	}
	for _, m := range c.Mounts {
		if err := bind(root, m); err != nil {
			return "", err
		}
	}
	if c.ReadOnlyRoot {
		if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return "", fmt.Errorf("/ read-only: %w", err)
		}
	}
	return root, nil
}

// overlay mounts lower at target, with changes in a directory of scratch.
func overlay(scratch, lower, target string) error {
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	for _, dir := range []string{upper, work, target} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	var s unix.Stat_t // the mount gets the owner and mode of the upper directory
	if err := unix.Stat(lower, &s); err != nil {
		return fmt.Errorf("%s: %w", lower, err)
	}
	if err := os.Chown(upper, int(s.Uid), int(s.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(upper, os.FileMode(s.Mode&0o777)); err != nil {
		return err
	}
	if err := unix.Mount("container", target, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("overlay of %s: %w", lower, err)
	}
	return nil
}

func bind(root string, m spec.Mount) error {
	target, err := securejoin.SecureJoin(root, m.Target) // resolved inside the root: /var/run may be a link to /run
	if err != nil {
		return err
	}
	if err := mountPoint(m.Source, target); err != nil {
		return err
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", m.Target, err)
	}
	if m.ReadOnly {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("%s read-only: %w", m.Target, err)
		}
	}
	return nil
}

// mountPoint creates the mount point: a directory, or a file for a file.
func mountPoint(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// enter changes into the root and to the user, without new privileges or capabilities.
func enter(root string, c spec.Container) error {
	if err := unix.Sethostname([]byte(c.Host)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// As described in pivot_root(2): mount the new root over the old one, then unmount the old one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := unix.Setgroups(c.Groups); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := unix.Setresgid(c.GID, c.GID, c.GID); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if err := unix.Setresuid(c.UID, c.UID, c.UID); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	// Set again what the kubelet requested, because a change of user resets it: the containers die
	// with the test.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("to die with the kubelet: %w", err)
	}
	return os.Chdir(c.WorkDir)
}

// find returns a program's path from the container's PATH, or "".
func find(c spec.Container) string {
	if filepath.IsAbs(c.Args[0]) {
		return c.Args[0]
	}
	for _, dir := range filepath.SplitList(c.Path()) {
		path := filepath.Join(dir, c.Args[0])
		if unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}
