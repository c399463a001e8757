// Package agentdir knows the directory of an Azure Pipelines agent: what makes it
// usable, the files that an agent starts from, the lock that one azptend holds, and the
// record of which agent in a pool is this directory's. It starts no process and makes
// no request.
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

// Dir is the directory of an agent: the package is installed in it, and the agent
// keeps its files there.
type Dir struct {
	Root   string
	LogDir string     // where the listener writes its logs (AGENT_DIAGLOGPATH); empty means _diag below Root
	User   *proc.User // who the agent and its jobs run as; nil is azptend's own user
}

// Listener is the program to start.
func (d Dir) Listener() string { return filepath.Join(d.Root, "bin", "Agent.Listener") }

// Logs is where the listener writes its logs.
func (d Dir) Logs() string {
	if d.LogDir != "" {
		return d.LogDir
	}
	return filepath.Join(d.Root, "_diag")
}

// AsUser calls f with the rights on files of the agent's user. What f makes belongs to
// that user. Where jobs can plant links, f can be led no further than that user may go.
func (d Dir) AsUser(f func() error) error {
	err := d.User.Do(f)
	var unusable *DirError
	if d.User != nil && errors.As(err, &unusable) {
		unusable.User = d.User.String()
	}
	return err
}

// DirError says that an agent cannot work in this directory. Hint says what to do.
type DirError struct {
	Dir   string
	User  string // the user who cannot use the directory; empty means azptend's own user
	Why   string
	Hint  string
	Cause error
	// InUse says that another agent uses the directory, in another container or on another
	// machine, and may leave it.
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

// inUseError is the error for a directory that another container or machine uses. When
// a container with a volume is replaced, the old one ends sooner or later.
func (d Dir) inUseError(why string) error {
	return &DirError{Dir: d.Root, Why: why, InUse: true,
		Hint: "give each agent its own directory (AZP_AGENT_DIR); if this container replaces the other one, stop that one first, or raise AZP_NAME_WAIT (--name-wait)"}
}

const hintReadable = "make every directory on the way readable for this user"

// Check reports whether an agent can work here. The listener must exist, be executable,
// be built for this machine, and look for its files here. The directory must be
// writable, and so must those in it that the agent creates at once, if another user has
// made them before: the logs, and work, the agent's work directory. The error is a
// *DirError.
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

// CheckRoot reports whether this directory, a root, can be made, or written to if it
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

// CheckListener reports whether the listener exists, is executable, and is built for
// this machine. That is all that an installation needs that roots are made from; it may
// be read-only. The error is a *DirError.
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

// checkListable: the listener lists its directory and every one above it, and exits if
// it may not (agent-protocol.md 3.9).
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

// checkHome reports whether the listener will take this directory for its own. It
// follows every link on the way to its own file, and its root is the parent of the
// directory that it ends up in (agent-protocol.md 3.9). After an update bin is a link to
// bin.VERSION beside it, which is fine.
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
		return nil // a Mach-O or a script: the kernel decides
	}
	if built := elfArch(binary.LittleEndian.Uint16(header[18:])); built != runtime.GOARCH {
		return d.dirError(fmt.Sprintf("bin/Agent.Listener is built for %s, and this machine is %s", built, runtime.GOARCH),
			"install the agent package for this platform", nil)
	}
	return nil
}

const (
	// tempPattern names azptend's temporary files, so that they can be told from others.
	tempPattern = ".azptend-new-*"
	// probeSize is roughly what the agent's own files take: three of one block each.
	probeSize = 3 * 4096
)

// MakeWritable makes a directory for an agent's files alone, and checks that they can
// be written. The error is a *DirError.
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
	// On a full disk a file can be created, and not filled.
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

// writeHint is what to do about a directory that cannot be written to.
func writeHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space on the disk, or set AZP_AGENT_DIR (--agent-dir) to a directory on another disk"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system writable, or set AZP_AGENT_ROOT (--agent-root) to a writable directory"
	}
	return "make it writable for this user: the agent writes its files and logs there"
}

// withoutPath is the text of a path error without the path, which the message already
// has.
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

// CheckVersion judges what `Agent.Listener --version` printed, and its exit code. It is
// the first time that the listener's runtime is tried. The server accepts
// major.minor.patch (agent-protocol.md 2.2).
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
