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

	"github.com/azptend/azptend/internal/safefile"
)

// Dir is an agent's installation, in which it also lives.
type Dir struct {
	Root   string
	LogDir string // where the listener keeps its logs (AGENT_DIAGLOGPATH); empty means _diag below Root
}

// Listener is the program to start.
func (f Dir) Listener() string { return filepath.Join(f.Root, "bin", listenerProgram) }

// DirError says that an agent cannot work in this folder. Hint says what to
// do.
type DirError struct {
	Dir   string
	User  string // for whom; empty means this process's
	Why   string
	Hint  string
	Cause error
	// InUse says that it is another agent that is in the way, and that it may leave:
	// of another container, or on another machine.
	InUse bool
}

func (e *DirError) Error() string {
	if e.User != "" {
		return fmt.Sprintf("cannot use the agent folder %s as user %s: %s", e.Dir, e.User, e.Why)
	}
	return fmt.Sprintf("cannot use the agent folder %s: %s", e.Dir, e.Why)
}
func (e *DirError) Unwrap() error { return e.Cause }

// Check says whether an agent can work here: the listener is there, may be
// started, was built for this machine and will look for its files here, and the
// folder can be written to, as can those in it that the agent makes at once and
// another user may have made before: work, as the agent is told it, and its logs.
// The error is an *UnfitError.
func (f Dir) Check(work string) error {
	if err := f.checkListener(); err != nil {
		return err
	}
	if err := f.checkHome(); err != nil {
		return err
	}
	if err := f.checkListable(); err != nil {
		return err
	}
	if err := f.checkWritable(f.Root); err != nil {
		return err
	}
	if work != "" && !filepath.IsAbs(work) {
		work = filepath.Join(f.Root, work)
	}
	for _, dir := range []string{work, f.logDir()} {
		if _, err := os.Stat(dir); dir != "" && !errors.Is(err, fs.ErrNotExist) {
			if err := f.checkWritable(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckSource says whether a root can be made from this installation, which may be
// read-only. The error is an *UnfitError.
func (f Dir) CheckSource() error { return f.checkListener() }

// CheckRoot says whether this folder, a root, can be made, or written to where it
// is there already. The error is an *UnfitError.
func (f Dir) CheckRoot() error {
	dir := f.Root
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return f.checkWritable(dir)
}

// checkListener: it is there, may be started, and was built for this machine.
func (f Dir) checkListener() error {
	if !filepath.IsAbs(f.Root) {
		return f.dirError("it is not an absolute path", "set AZP_AGENT_DIR (--agent-dir) to one", nil)
	}
	info, err := os.Stat(f.Listener())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.dirError("bin/Agent.Listener is not there",
			"azptend install puts the agent package into it; or set AZP_AGENT_DIR (--agent-dir) to where it is", err)
	case err != nil:
		return f.dirError(err.Error(), "is every folder on the way readable for this user?", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return f.dirError("bin/Agent.Listener is not executable", "unpack the agent package anew, with its file modes", nil)
	}
	return f.checkArchitecture()
}

// checkListable: the listener lists its folder and every one above it, and ends
// where it may not (agent-protocol.md 3.9).
func (f Dir) checkListable() error {
	for dir := f.Root; ; dir = filepath.Dir(dir) {
		d, err := safefile.OpenDir(dir)
		if err != nil {
			return f.dirError("the folder "+dir+" cannot be listed: "+withoutPath(err),
				"the agent lists its folder and every folder above it: chmod o+rx "+dir+", or set AZP_AGENT_DIR (--agent-dir) to another", err)
		}
		d.Close()
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// checkHome says whether the listener takes this folder for its own: it follows
// every link on the way to its own file, and its root is the parent of the
// folder that it ends up in (agent-protocol.md 3.9). An update leaves bin a link
// to bin.VERSION beside it, which is fine.
func (f Dir) checkHome() error {
	root, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return f.dirError(err.Error(), "is every folder on the way readable for this user?", err)
	}
	listener, err := filepath.EvalSymlinks(f.Listener())
	if err != nil {
		return f.dirError(err.Error(), "is every folder on the way readable for this user?", err)
	}
	if home := filepath.Dir(filepath.Dir(listener)); home != root {
		return f.dirError("bin/Agent.Listener is a link into "+home+", and would look for its files there",
			"copy the agent's package into the folder instead of linking to it, or set AZP_AGENT_DIR (--agent-dir) to "+home, nil)
	}
	return nil
}

func (f Dir) dirError(why, hint string, cause error) error {
	return &DirError{Dir: f.Root, Why: why, Hint: hint, Cause: cause}
}

// elfArch is Go's name for an ELF header's e_machine, for the platforms the agent
// is built for (agent-protocol.md 8).
func elfArch(code uint16) string {
	switch code {
	case 0x3e:
		return "amd64"
	case 0xb7:
		return "arm64"
	case 0x28:
		return "arm"
	}
	return fmt.Sprintf("unknown (%#x)", code)
}

func (f Dir) checkArchitecture() error {
	file, err := safefile.Open(f.Listener())
	if err != nil {
		return f.dirError(err.Error(), "is bin/Agent.Listener readable for this user?", err)
	}
	defer file.Close()
	header := make([]byte, 20)
	if _, err := io.ReadFull(file, header); err != nil || string(header[:4]) != "\x7fELF" {
		return nil // a Mach-O or a script: the system will say
	}
	if built := elfArch(binary.LittleEndian.Uint16(header[18:])); built != runtime.GOARCH {
		return f.dirError(fmt.Sprintf("bin/Agent.Listener is built for %s, and this machine is %s", built, runtime.GOARCH),
			"install the agent package for this platform", nil)
	}
	return nil
}

// tempPattern names our temporary files, so that a look at the folder tells
// whose they are.
const tempPattern = ".azptend-new-*"

// probeSize is what the agent's own files take, roughly: three of a block each.
const probeSize = 3 * 4096

// MakeWritable makes a folder for an agent's files alone, and says whether they
// can be written. The error is an *UnfitError.
func (f Dir) MakeWritable() error {
	if err := os.MkdirAll(f.Root, 0o700); err != nil {
		return f.dirError("it cannot be made: "+withoutPath(err), writeHint(err), err)
	}
	return f.checkWritable(f.Root)
}

func (f Dir) checkWritable(dir string) error {
	it := "it"
	if dir != f.Root {
		it = dir
	}
	probe, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return f.dirError(it+" cannot be written to: "+withoutPath(err), writeHint(err), err)
	}
	// On a full disk a file can be made, and not be filled.
	_, err = probe.Write(make([]byte, probeSize))
	if err = errors.Join(err, probe.Close()); err != nil {
		_ = os.Remove(probe.Name())
		return f.dirError(it+" cannot be written to: "+withoutPath(err), writeHint(err), err)
	}
	if err := os.Remove(probe.Name()); err != nil {
		return f.dirError("files in "+it+" cannot be removed: "+withoutPath(err), writeHint(err), err)
	}
	return nil
}

// writeHint is what to do about a folder that cannot be written to.
func writeHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room, or set AZP_AGENT_DIR (--agent-dir) to a folder on another"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: set AZP_AGENT_ROOT (--agent-root) to a folder that can be written to, and the agent lives there; or mount this one writable"
	}
	return "the agent writes its files and logs there: make it writable for this user"
}

// withoutPath is a path error without the path, which the message has already.
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

// CheckVersion judges what `Agent.Listener --version` printed, and with which
// exit code it ended: it is the first time that the listener's runtime is tried.
func (f Dir) CheckVersion(output string, code int) (string, error) {
	version := strings.TrimSpace(output)
	if code != 0 {
		return "", f.dirError(fmt.Sprintf("bin/Agent.Listener --version ends with exit code %d", code),
			"its runtime may lack a library (libicu, libssl, libstdc++): see the lines above", nil)
	}
	if !isVersion(version) {
		return "", f.dirError(fmt.Sprintf("bin/Agent.Listener --version prints %.60q, which is no version", version),
			"is this really the agent's listener?", nil)
	}
	return version, nil
}

// isVersion accepts major.minor.patch, which is what the server accepts
// (agent-protocol.md 2.2).
func isVersion(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}
