package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/azptend/azptend/internal/safefile"
)

// packageRecordName is the file that says which package is installed in a directory.
const packageRecordName = ".azptend-package"

// maxRecord is the size limit of a record. They have some hundred bytes.
const maxRecord = 64 << 10

// PackageRecord says which package is installed.
type PackageRecord struct {
	Kind     Kind   `json:"kind"`
	Platform string `json:"platform"`
	Version  string `json:"version"`
	SHA256   string `json:"sha256"`
}

// Installed returns the package that azptend installed into the directory, if it is still
// there: an agent that has updated itself has replaced bin by a link (agent-protocol.md 4.3).
func Installed(dir string) (PackageRecord, bool) {
	var m PackageRecord
	b, err := safefile.Dir(dir).ReadFile(packageRecordName, maxRecord)
	if err != nil || json.Unmarshal(b, &m) != nil {
		return PackageRecord{}, false
	}
	bin, err := os.Lstat(filepath.Join(dir, "bin"))
	if err != nil || !bin.IsDir() || !HasAgent(dir) {
		return PackageRecord{}, false
	}
	return m, true
}

// records are the contents of the records to write, by their file names.
type records map[string]any

// place moves the tree to the agent's directory, and writes the records.
func (s staging) place(m records) error {
	moves, err := s.moves(m)
	if err != nil {
		return err
	}
	for _, move := range moves {
		if err := move(); err != nil {
			return err
		}
	}
	return nil
}

// moves are the steps of place, in order: the old bin goes first, and the new one comes last.
// In between there is no listener, so a directory with parts of two packages never counts as an
// agent. Without bin, the records do not count.
func (s staging) moves(m records) ([]func() error, error) {
	if err := s.agentDir.Mkdir(s.path(formerName), 0o755); err != nil {
		return nil, err
	}
	entries, err := s.list(treeName)
	if err != nil {
		return nil, err
	}
	moves := []func() error{func() error { return s.setAside("bin") }}
	for _, entry := range entries {
		if name := entry.Name(); name != "bin" {
			moves = append(moves, func() error { return s.setAside(name) }, func() error { return s.moveIn(name) })
		}
	}
	for _, name := range []string{packageRecordName, rootRecordName} {
		moves = append(moves, func() error { return s.setAside(name) })
		if content, is := m[name]; is {
			moves = append(moves, func() error { return s.writeRecord(name, content) })
		}
	}
	return append(moves, func() error { return s.moveIn("bin") }), nil
}

func (s staging) setAside(name string) error {
	err := s.agentDir.Rename(name, s.path(formerName, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s staging) moveIn(name string) error {
	return s.agentDir.Rename(s.path(treeName, name), name)
}

// writeRecord writes a record.
func (s staging) writeRecord(name string, content any) error {
	b, err := json.Marshal(content)
	if err != nil {
		return err
	}
	f, err := s.agentDir.OpenFile(s.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // azptend left nothing there
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.agentDir.Rename(s.path(name), name)
}

// RootError says that a root cannot be made from an installation.
type RootError struct {
	Root, From string
	Cause      error
}

func (e *RootError) Error() string {
	return fmt.Sprintf("cannot create the agent's root %s from %s: %v", e.Root, e.From, e.Cause)
}
func (e *RootError) Unwrap() error { return e.Cause }

// Hint says what to do about it.
func (e *RootError) Hint() string {
	if errors.Is(e.Cause, errNoListener) {
		return "check that the agent package is unpacked in AZP_AGENT_DIR (--agent-dir)"
	}
	return "check that AZP_AGENT_ROOT (--agent-root) has enough space and is writable for the agent's user, who must be able to read AZP_AGENT_DIR (--agent-dir)"
}

var errNoListener = fmt.Errorf("%s does not exist", listenerPath)

// rootRecordName is the file that says what a root was made from.
const rootRecordName = ".azptend-root"
