package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Location identifies an azptend by its agent's root.
type Location struct {
	// Root is the agent's root, or for several agents the directory that contains their
	// roots.
	Root string
	// OtherUser says that azptend is root and jobs run as another user. The socket is then
	// in a directory that they cannot access.
	OtherUser bool

	bases []base // nil: /run and /dev/shm; tests have others
}

// base is a directory in which root can have sockets.
type base struct {
	dir  string
	name func(root string) string // of the socket's directory in it
}

// agentDir is the socket's directory if jobs run as azptend's own user.
func (p Location) agentDir() string { return filepath.Join(p.Root, ".azptend") }

// guardedDirs are the directories for a socket that jobs cannot access, the preferred first.
// They depend only on the agent's root, so server and client get the same list.
func (p Location) guardedDirs() []string {
	bases := p.bases
	if bases == nil {
		bases = []base{{"/run", inRun}, {"/dev/shm", inShm}}
	}
	var dirs []string
	for _, b := range bases {
		dirs = append(dirs, filepath.Join(b.dir, b.name(filepath.Clean(p.Root))))
	}
	return dirs
}

// runDirName is azptend's directory in /run, for the sockets of all agents there.
const runDirName = "azptend"

// inRun is a directory's name in /run, which belongs to one machine or container.
func inRun(root string) string { return filepath.Join(runDirName, hash(root)) }

// inShm is a directory's name in /dev/shm. It includes the mount namespace, because the
// containers of a pod share /dev/shm, and may have their agents at the same path.
func inShm(root string) string {
	mounts, _ := os.Readlink("/proc/self/ns/mnt")
	return runDirName + "-" + hash(root+"\x00"+mounts)
}

// hash is a short hash, because the address of a socket has at most 108 bytes.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// make creates and locks the directory for the server's socket. warning says why jobs can
// remove the socket although they run as another user; otherwise it is "".
func (p Location) make() (f *socketDir, warning string, err error) {
	if !p.OtherUser {
		p.removeGuarded()
		f, err = makeDir(p.agentDir())
		return f, "", err
	}
	var why []string
	for _, path := range p.guardedDirs() {
		if err = prepareParents(path); err == nil {
			f, err = makeDir(path)
		}
		if err == nil || errors.Is(err, ErrInUse) {
			return f, "", err
		}
		why = append(why, err.Error())
	}
	f, err = makeDir(p.agentDir())
	return f, strings.Join(why, "; "), err
}

// removeGuarded removes directories of an earlier azptend that was killed and ran its jobs as
// another user, because clients try those first.
func (p Location) removeGuarded() {
	for _, path := range p.guardedDirs() {
		if os.Geteuid() != 0 || !isGuarded(path) {
			continue
		}
		if f, err := makeDir(path); err == nil { // otherwise it is in use
			_ = f.remove()
		}
	}
}

// prepareParents creates the parent of the directory, and checks that only root can replace
// the directory.
func prepareParents(path string) error {
	for dir := range parents(path) {
		if filepath.Base(dir) == runDirName {
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if err := checkOnlyRootReplaces(dir); err != nil {
			return err
		}
	}
	return nil
}

// parents yields the directories above one of guardedDirs, from the top: /run and
// /run/azptend, or /dev/shm.
func parents(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		dir := filepath.Dir(path)
		if filepath.Base(dir) == runDirName && !yield(filepath.Dir(dir)) {
			return
		}
		yield(dir)
	}
}

// checkOnlyRootReplaces returns an error if others than root can rename or replace root's
// entries in a directory. They cannot if the directory has the sticky bit, like /dev/shm.
func checkOnlyRootReplaces(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner(info) != 0 {
		return fmt.Errorf("%s belongs to another user", dir)
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s is writable for other users", dir)
	}
	return nil
}

// isGuarded says whether a directory exists that belongs to root and that no other user can
// have put there.
func isGuarded(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || owner(info) != 0 {
		return false
	}
	for dir := range parents(path) {
		if checkOnlyRootReplaces(dir) != nil {
			return false
		}
	}
	return true
}

// find returns the directory in which a client expects the socket. believeOwner says whether
// root may accept a server of the directory's owner. It may not if jobs run as another user,
// because that user owns the agent's root.
func (p Location) find() (path string, believeOwner bool) {
	for _, path := range p.guardedDirs() {
		if isGuarded(path) {
			return path, false
		}
	}
	return p.agentDir(), !p.OtherUser
}
