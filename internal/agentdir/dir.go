// Package agentdir manages the directory of an Azure Pipelines agent: it checks whether the
// directory is usable, writes the agent's files, locks the directory for one azptend, and
// records which agent in a pool belongs to it. It starts no processes and sends no requests.
//
// It writes what config.sh would write: .agent, .credentials and
// .credentials_rsaparams. The listener needs no more (agent-protocol.md 3).
package agentdir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
)

// Dir is the directory of an agent, with the installed package and the agent's files.
type Dir struct {
	Root   string
	LogDir string     // where the listener writes its logs (AGENT_DIAGLOGPATH); empty means _diag below Root
	User   *proc.User // the user that the agent and its jobs run as; nil is azptend's own user
}

// Listener is the path of the listener's program.
func (d Dir) Listener() string { return filepath.Join(d.Root, "bin", "Agent.Listener") }

// Logs is the directory of the listener's logs.
func (d Dir) Logs() string {
	if d.LogDir != "" {
		return d.LogDir
	}
	return filepath.Join(d.Root, "_diag")
}

// AsUser calls f with the agent's user's rights on files. That user owns the files that f
// creates. If a job has put a link into the directory, f can only reach what that user may
// access.
func (d Dir) AsUser(f func() error) error {
	err := d.User.Do(f)
	var unusable *DirError
	if d.User != nil && errors.As(err, &unusable) {
		unusable.User = d.User.String()
	}
	return err
}

// DirError says why an agent cannot use this directory. Hint says what to do.
type DirError struct {
	Dir   string
	User  string // the user that cannot use the directory; empty means azptend's own user
	Why   string
	Hint  string
	Cause error
	// InUse says that another agent uses the directory, in another container or on another
	// machine, so that the directory may become free.
	InUse bool
}

func (e *DirError) Error() string {
	if e.User != "" {
		return fmt.Sprintf("cannot use the agent directory %s as user %s: %s", e.Dir, e.User, e.Why)
	}
	return fmt.Sprintf("cannot use the agent directory %s: %s", e.Dir, e.Why)
}

func (e *DirError) Unwrap() error { return e.Cause }

func (d Dir) dirError(why, hint string, cause error) error {
	return &DirError{Dir: d.Root, Why: why, Hint: hint, Cause: cause}
}

// inUseError is the error for a directory that another container or machine uses. If a
// container with a volume is being replaced, the old one ends soon.
func (d Dir) inUseError(why string) error {
	return &DirError{Dir: d.Root, Why: why, InUse: true,
		Hint: "give each agent its own directory (AZP_AGENT_DIR); if this container replaces the other one, stop that one first, or raise AZP_NAME_WAIT (--name-wait)"}
}

const hintReadable = "make every directory on the way readable for this user"

// Check reports whether an agent can use the directory. The listener must exist, be
// executable, be built for this machine, and find its files here. The directory must be
// writable. So must be the directory of logs, and work, the agent's work directory, if they
// exist. The error is a *DirError.
func (d Dir) Check(work string) error {
	for _, check := range []func() error{d.CheckListener, d.checkHome, d.checkListable} {
		if err := check(); err != nil {
			return err
		}
	}
	if err := d.checkWritable(d.Root); err != nil {
		return err
	}
	if work != "" && !filepath.IsAbs(work) {
		work = filepath.Join(d.Root, work)
	}
	for _, dir := range []string{work, d.Logs()} {
		if _, err := os.Stat(dir); dir != "" && !errors.Is(err, fs.ErrNotExist) {
			if err := d.checkWritable(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckRoot reports whether this directory, a root, can be created, or is writable if it
// exists. The error is a *DirError.
func (d Dir) CheckRoot() error {
	dir := d.Root
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return d.checkWritable(dir)
}

// CheckListener reports whether the listener exists, is executable, and is built for this
// machine. An installation from which roots are made needs no more; it may be read-only. The
// error is a *DirError.
func (d Dir) CheckListener() error {
	if !filepath.IsAbs(d.Root) {
		return d.dirError("it is not an absolute path", "set AZP_AGENT_DIR (--agent-dir) to an absolute path", nil)
	}
	info, err := os.Stat(d.Listener())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.dirError("bin/Agent.Listener does not exist",
			"install the agent package with azptend install, or set AZP_AGENT_DIR (--agent-dir) to the directory that holds it", err)
	case err != nil:
		return d.dirError(err.Error(), hintReadable, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return d.dirError("bin/Agent.Listener is not executable", "unpack the agent package again, and preserve its file modes", nil)
	}
	return d.checkArchitecture()
}

// checkListable checks that this directory and all above it can be listed. Otherwise the
// listener exits (agent-protocol.md 3.9).
func (d Dir) checkListable() error {
	for dir := d.Root; ; dir = filepath.Dir(dir) {
		opened, err := safefile.OpenDir(dir)
		if err != nil {
			return d.dirError("the directory "+dir+" cannot be listed: "+withoutPath(err),
				"run chmod o+rx "+dir+" (the agent lists its directory and all directories above it), or set AZP_AGENT_DIR (--agent-dir) to another directory", err)
		}
		opened.Close()
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// checkHome checks that the listener will use this directory as its root. The listener
// resolves all links in the path of its program, and its root is the parent of the
// program's directory (agent-protocol.md 3.9). After an update, bin is a link to bin.VERSION
// beside it, which is allowed.
func (d Dir) checkHome() error {
	root, err := filepath.EvalSymlinks(d.Root)
	if err != nil {
		return d.dirError(err.Error(), hintReadable, err)
	}
	listener, err := filepath.EvalSymlinks(d.Listener())
	if err != nil {
		return d.dirError(err.Error(), hintReadable, err)
	}
	if home := filepath.Dir(filepath.Dir(listener)); home != root {
		return d.dirError("bin/Agent.Listener is a link into "+home+", so it would look for its files there",
			"copy the agent package into the directory instead of linking to it, or set AZP_AGENT_DIR (--agent-dir) to "+home, nil)
	}
	return nil
}

// elfArch is Go's name for an ELF header's e_machine, for the platforms that the agent
// is built for (agent-protocol.md 8).
func elfArch(machine uint16) string {
	switch machine {
	case 0x3e:
		return "amd64"
	case 0xb7:
		return "arm64"
	case 0x28:
		return "arm"
	}
	return fmt.Sprintf("unknown (%#x)", machine)
}

func (d Dir) checkArchitecture() error {
	file, err := safefile.Open(d.Listener())
	if err != nil {
		return d.dirError(err.Error(), "make bin/Agent.Listener readable for this user", err)
	}
	defer file.Close()
	header := make([]byte, 20)
	if _, err := io.ReadFull(file, header); err != nil || string(header[:4]) != "\x7fELF" {
		return nil // not ELF, such as Mach-O or a script: the kernel decides
	}
	if built := elfArch(binary.LittleEndian.Uint16(header[18:])); built != runtime.GOARCH {
		return d.dirError(fmt.Sprintf("bin/Agent.Listener is built for %s, and this machine is %s", built, runtime.GOARCH),
			"install the agent package for this platform", nil)
	}
	return nil
}

const (
	// tempPattern is the name pattern of azptend's temporary files.
	tempPattern = ".azptend-new-*"
	// probeSize is about the size of the agent's files: three of one block each.
	probeSize = 3 * 4096
)

// MakeWritable creates a directory that will only have the agent's files, and checks that it
// is writable. The error is a *DirError.
func (d Dir) MakeWritable() error {
	if err := os.MkdirAll(d.Root, 0o700); err != nil {
		return d.dirError("it cannot be created: "+withoutPath(err), writeHint(err), err)
	}
	return d.checkWritable(d.Root)
}

func (d Dir) checkWritable(dir string) error {
	it := "it"
	if dir != d.Root {
		it = dir
	}
	probe, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return d.dirError(it+" cannot be written to: "+withoutPath(err), writeHint(err), err)
	}
	// On a full disk a file can be created, but not written to.
	_, err = probe.Write(make([]byte, probeSize))
	if err = errors.Join(err, probe.Close()); err != nil {
		_ = os.Remove(probe.Name())
		return d.dirError(it+" cannot be written to: "+withoutPath(err), writeHint(err), err)
	}
	if err := os.Remove(probe.Name()); err != nil {
		return d.dirError("files in "+it+" cannot be removed: "+withoutPath(err), writeHint(err), err)
	}
	return nil
}

// writeHint is the hint for a directory that is not writable.
func writeHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space on the disk, or set AZP_AGENT_DIR (--agent-dir) to a directory on another disk"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system writable, or set AZP_AGENT_ROOT (--agent-root) to a writable directory"
	}
	return "make it writable for this user: the agent writes its files and logs there"
}

// withoutPath is the text of a path error without the path, which the message has already.
func withoutPath(err error) string {
	var (
		p *fs.PathError
		l *os.LinkError
	)
	switch {
	case errors.As(err, &p):
		return p.Err.Error()
	case errors.As(err, &l):
		return l.Err.Error()
	}
	return err.Error()
}

// CheckVersion checks the output and the exit code of `Agent.Listener --version`, which also
// shows whether the listener's runtime works. It returns the version, which must be
// major.minor.patch, as the server requires (agent-protocol.md 2.2).
func (d Dir) CheckVersion(output string, code int) (string, error) {
	version := strings.TrimSpace(output)
	if code != 0 {
		return "", d.dirError(fmt.Sprintf("bin/Agent.Listener --version exits with code %d", code),
			"check the lines above: a library may be missing (libicu, libssl, libstdc++)", nil)
	}
	parts := strings.Split(version, ".")
	is := len(parts) == 3
	for _, p := range parts {
		is = is && p != "" && strings.Trim(p, "0123456789") == ""
	}
	if !is {
		return "", d.dirError(fmt.Sprintf("bin/Agent.Listener --version prints %.60q, which is not a version", version),
			"check that this is the agent's listener", nil)
	}
	return version, nil
}
