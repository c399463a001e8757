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

// Location says whose azptend is talked to.
type Location struct {
	// Root is where the agent lives and writes; of several agents, what their roots
	// are in.
	Root string
	// OtherUser says that jobs run as another user than azptend, who is root. The
	// socket is then kept where they cannot reach it.
	OtherUser bool

	bases []base // nil: those of this machine
}

// base is a directory in which root may keep sockets.
type base struct {
	dir  string
	name func(root string) string // of the socket's folder in it
}

// agentDir is the socket's folder where the jobs' user is azptend's own.
func (p Location) agentDir() string { return filepath.Join(p.Root, ".azptend") }

// guardedDirs are the folders for a socket that jobs cannot reach, the best first.
// Server and client list the same ones, from the agent's root alone.
func (p Location) guardedDirs() []string {
	bases := p.bases
	if bases == nil {
		bases = []base{{"/run", inRun}, {"/dev/shm", inShm}}
	}
	var folders []string
	for _, b := range bases {
		folders = append(folders, filepath.Join(b.dir, b.name(filepath.Clean(p.Root))))
	}
	return folders
}

// runDirName is azptend's directory in /run, for the sockets of all agents there.
const runDirName = "azptend"

// inRun is a name for one machine or container, which /run is.
func inRun(root string) string { return filepath.Join(runDirName, hash(root)) }

// inShm is a name for one mount namespace: the containers of a pod share
// /dev/shm, and may have their agents at the same path.
func inShm(root string) string {
	mounts, _ := os.Readlink("/proc/self/ns/mnt")
	return runDirName + "-" + hash(root+"\x00"+mounts)
}

// hash is short, for a socket's address holds 108 bytes.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// make makes the folder for the server's socket, and locks it. The warning is why
// jobs can move the socket away, "" where they cannot or need not.
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

// removeGuarded removes what an earlier azptend left behind that was killed and
// ran its jobs as another user: clients look there first.
func (p Location) removeGuarded() {
	for _, path := range p.guardedDirs() {
		if os.Geteuid() != 0 || !isGuarded(path) {
			continue
		}
		if f, err := makeDir(path); err == nil { // else it is in use
			_ = f.remove()
		}
	}
}

// prepareParents makes sure that nobody but root can put another folder in this one's
// place.
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

// parents yields the directories that a folder of guarded is in, the first one
// first: those that others cannot have made.
func parents(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		dir := filepath.Dir(path)
		if filepath.Base(dir) == runDirName && !yield(filepath.Dir(dir)) {
			return
		}
		yield(dir)
	}
}

// checkOnlyRootReplaces says whether only root can rename or replace what is root's in a
// directory: in a sticky one, as /dev/shm is, others cannot either.
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

// isGuarded says whether a folder of root's is there, which nobody else can have
// put there.
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

// find is the folder in which a client looks for the socket, and whether it may
// believe the folder's owner. It may not if jobs run as another user: the agent's
// root belongs to that user.
func (p Location) find() (path string, believeOwner bool) {
	for _, path := range p.guardedDirs() {
		if isGuarded(path) {
			return path, false
		}
	}
	return p.agentDir(), !p.OtherUser
}
