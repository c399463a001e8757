package agentdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/azptend/azptend/internal/safefile"
)

// Registration reads who the folder's files say that its agent is. There being
// none is no error: found is false, and so it is for a file that makes no sense,
// which the next WriteFiles replaces.
func (f Dir) Registration() (r Registration, found bool, err error) {
	b, err := safefile.Dir(f.Root).ReadFile(settingsFile, maxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Registration{}, false, nil
	}
	if err != nil {
		return Registration{}, false, f.dirError(fmt.Sprintf("cannot read %s: %s", settingsFile, withoutPath(err)),
			"an earlier agent's files are here: make them readable for this user, or remove them", err)
	}
	r, found = parseSettings(b)
	return r, found, nil
}

// parseSettings reads .agent, which the agent writes with a byte order mark and
// may rewrite (agent-protocol.md 3.1).
func parseSettings(b []byte) (Registration, bool) {
	var s struct {
		AgentID, PoolID                            int
		AgentName, PoolName, ServerURL, WorkFolder string
	}
	if json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &s) != nil || s.AgentID <= 0 || s.PoolID <= 0 {
		return Registration{}, false
	}
	return Registration{
		AgentID: s.AgentID, AgentName: s.AgentName, PoolID: s.PoolID, PoolName: s.PoolName,
		ServerURL: s.ServerURL, WorkFolder: s.WorkFolder,
	}, true
}

// perfDirPattern names the folders for VSTS_AGENT_PERFLOG: a listener that was
// given one was started by azptend.
const perfDirPattern = ".azptend-perf-*"

// perfVariable tells the listener where to write its performance counters, from
// which its session is known (agent-protocol.md 5.6).
const perfVariable = "VSTS_AGENT_PERFLOG"

// RemoveTemporary takes away what a life needs for itself in the folder: of this
// one, or of one that was killed. What says how the folder was made stays.
func (f Dir) RemoveTemporary() (err error) {
	for _, pattern := range []string{tempPattern, perfDirPattern} {
		for _, entry := range entries(f.Root, pattern) {
			err = errors.Join(err, safefile.RemoveAll(filepath.Join(f.Root, entry.Name())))
		}
	}
	return err
}

// RemovePerfDir removes what MakePerf made.
func RemovePerfDir(dir string) error { return safefile.RemoveAll(dir) }

// MakePerfDir makes a fresh folder for a listener's performance counters, so that an
// earlier one's session cannot be taken for this one's, and says by which
// variable the listener learns of it.
func (f Dir) MakePerfDir() (dir, variable string, err error) {
	_ = f.RemoveTemporary()
	dir, err = os.MkdirTemp(filepath.Clean(f.Root), perfDirPattern)
	if err != nil {
		return "", "", f.dirError("cannot make a folder in it: "+withoutPath(err), writeHint(err), err)
	}
	return dir, perfVariable + "=" + dir, nil
}

// PreviousRunKilled says that an azptend in this folder has not ended as it should: what
// it made for its listener is still there.
func (f Dir) PreviousRunKilled() bool {
	return len(entries(f.Root, perfDirPattern)) > 0
}

// maxEntries bounds how much of a directory is looked at. Jobs can fill it with
// names, and a hundred thousand of them take a tenth of a second.
const maxEntries = 1 << 17

// entries lists a directory's entries of which the names match, as far as they
// can be listed.
func entries(dir, pattern string) []fs.DirEntry {
	found, _ := safefile.Dir(dir).Entries(".", maxEntries, func(e fs.DirEntry) bool {
		matches, _ := filepath.Match(pattern, e.Name())
		return matches
	})
	return found
}

// OccupiedError is the error for a folder in which a listener runs that is not to be
// touched; whose says why not. Elsewhere says that it is another container's.
func (f Dir) OccupiedError(pid int, whose string, elsewhere bool) error {
	if elsewhere {
		return f.inUseError(fmt.Sprintf("%s runs in it (process %d, in another container)", whose, pid))
	}
	return f.dirError(fmt.Sprintf("%s runs in it (process %d)", whose, pid),
		"end that agent, or give azptend a folder of its own (AZP_AGENT_DIR)", nil)
}
