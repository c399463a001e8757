package install

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// markName is the file that says what is installed in an agent's folder.
const markName = ".azptend-package"

// Mark is what it holds.
type Mark struct {
	Kind     Kind   `json:"kind"`
	Platform string `json:"platform"`
	Version  string `json:"version"`
	SHA256   string `json:"sha256"`
}

// Installed is what an install of ours has put into the folder, as long as it is
// there: an agent that has updated itself leaves bin a link (agent-protocol.md 4.3).
func Installed(dir string) (Mark, bool) {
	var m Mark
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil || json.Unmarshal(b, &m) != nil {
		return Mark{}, false
	}
	bin, err := os.Lstat(filepath.Join(dir, "bin"))
	if err != nil || !bin.IsDir() || !IsThere(dir) {
		return Mark{}, false
	}
	return m, true
}

// place moves the unpacked files to their places. bin goes first and comes last:
// in between there is no listener, so a folder whose parts are of two packages is
// never taken for an agent.
func (s staging) place(p Package) error {
	former := filepath.Join(s.dir, formerName)
	if err := os.Mkdir(former, 0o755); err != nil {
		return err
	}
	if err := s.setAside("bin"); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, treeName))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == "bin" {
			continue
		}
		if err := s.setAside(entry.Name()); err != nil {
			return err
		}
		if err := s.moveIn(entry.Name()); err != nil {
			return err
		}
	}
	if err := s.mark(p); err != nil {
		return err
	}
	return s.moveIn("bin")
}

func (s staging) setAside(name string) error {
	err := os.Rename(filepath.Join(s.agentDir, name), filepath.Join(s.dir, formerName, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s staging) moveIn(name string) error {
	return os.Rename(filepath.Join(s.dir, treeName, name), filepath.Join(s.agentDir, name))
}

// mark writes down what is being installed; without bin it says nothing yet.
func (s staging) mark(p Package) error {
	b, err := json.Marshal(Mark{p.Kind, p.Platform, p.Version, p.SHA256})
	if err != nil {
		return err
	}
	whole := filepath.Join(s.dir, markName)
	if err := os.WriteFile(whole, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(whole, filepath.Join(s.agentDir, markName))
}
