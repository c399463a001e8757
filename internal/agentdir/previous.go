package agentdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// This file is about files that an earlier agent left in the directory.

// Registration reads which agent the directory's files belong to. If there is no file or it
// is invalid, found is false; the next WriteFiles replaces it.
func (d Dir) Registration() (r Registration, found bool, err error) {
	b, err := safefile.Dir(d.Root).ReadFile(settingsFile, maxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Registration{}, false, nil
	}
	if err != nil {
		return Registration{}, false, d.dirError(fmt.Sprintf("cannot read %s: %s", settingsFile, withoutPath(err)),
			"make the files of the previous agent readable for this user, or remove them", err)
	}
	r, found = parseSettings(b)
	return r, found, nil
}

// parseSettings parses .agent, which the agent may rewrite with a byte order mark
// (agent-protocol.md 3.1).
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

// perfDirPattern is the name pattern of the directories for a listener's performance
// counters. azptend removes them when it exits.
const perfDirPattern = ".azptend-perf-*"

// IsPerfDir reports whether a path has the name of a directory that MakePerfDir creates.
func IsPerfDir(path string) bool {
	is, _ := filepath.Match(perfDirPattern, filepath.Base(path))
	return is
}

// MakePerfDir creates a directory for a listener's performance counters. Each listener gets
// a new one, so that counters of an earlier listener are not taken for those of this one.
func (d Dir) MakePerfDir() (path string, err error) {
	_ = d.RemoveTemporary()
	path, err = os.MkdirTemp(filepath.Clean(d.Root), perfDirPattern)
	if err != nil {
		return "", d.dirError("cannot create a directory in it: "+withoutPath(err), writeHint(err), err)
	}
	return path, nil
}

// RemoveTemporary removes the files and directories that azptend needs only while it runs.
// It does not remove the record of how a root was made.
func (d Dir) RemoveTemporary() (err error) {
	for _, pattern := range []string{tempPattern, perfDirPattern} {
		for _, entry := range safefile.Dir(d.Root).Match(pattern) {
			err = errors.Join(err, safefile.RemoveAll(filepath.Join(d.Root, entry.Name())))
		}
	}
	return err
}

// PreviousRunKilled reports whether an azptend in this directory was killed: its directory
// for performance counters still exists.
func (d Dir) PreviousRunKilled() bool { return len(safefile.Dir(d.Root).Match(perfDirPattern)) > 0 }

// MayHaveLeftAgent reports whether an azptend in this directory may not have removed its
// agent: it was killed, or the removal failed.
func (d Dir) MayHaveLeftAgent() bool {
	record, found := d.Owner()
	return (found && !record.HandedOver) || d.PreviousRunKilled()
}

// OccupiedError is the error for a directory in which a listener runs that azptend must not
// stop. who describes it; elsewhere says that it runs in another container.
func (d Dir) OccupiedError(pid int, who string, elsewhere bool) error {
	if elsewhere {
		return d.inUseError(fmt.Sprintf("%s runs in it (process %d, in another container)", who, pid))
	}
	return d.dirError(fmt.Sprintf("%s runs in it (process %d)", who, pid),
		"stop that agent, or give azptend its own directory (AZP_AGENT_DIR)", nil)
}

// The rest of this file is about files that azptend did not write, such as those of
// config.sh. Without them, that agent can neither run nor be removed by its own tool, because
// its key is lost.

var agentFiles = []string{settingsFile, credentialsFile, keyFile}

// replacedDirPattern is the prefix of the directories that such files are moved to.
const replacedDirPattern = ".azptend-replaced-"

// CheckForeignFiles returns an error if the directory has files of an agent that azptend did
// not register. The error is a *DirError.
func (d Dir) CheckForeignFiles() error {
	if !d.hasForeignFiles() {
		return nil
	}
	who := "an agent"
	if r, found, _ := d.Registration(); found {
		server := r.ServerURL
		if server == "" || strings.ContainsFunc(server, func(c rune) bool { return c <= ' ' || c > '~' }) {
			server = fmt.Sprintf("%q", server)
		}
		who = fmt.Sprintf("the agent %q (id %d, pool %d) of %s", r.AgentName, r.AgentID, r.PoolID, server)
	}
	return d.dirError("it holds the files of "+who+", which azptend did not register and does not overwrite",
		"remove that agent with ./config.sh remove, or use another directory (AZP_AGENT_DIR, AZP_AGENT_ROOT); "+
			"or set AZP_REPLACE_AGENT_FILES (--replace-agent-files) to move its files aside, which leaves that agent in its pool", nil)
}

// MoveForeignFiles moves the files of an agent that azptend did not register to a new
// directory, and returns its path; "" if there are no such files. The error is a *DirError.
func (d Dir) MoveForeignFiles(now time.Time) (path string, err error) {
	if !d.hasForeignFiles() {
		return "", nil
	}
	path, err = os.MkdirTemp(filepath.Clean(d.Root), replacedDirPattern+now.UTC().Format("20060102T150405Z")+"-*") // 0700
	for _, name := range agentFiles {
		if err == nil {
			err = os.Rename(filepath.Join(d.Root, name), filepath.Join(path, name))
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return "", d.dirError("cannot move another agent's files aside: "+withoutPath(err), writeHint(err), err)
	}
	return path, nil
}

// hasForeignFiles reports whether the directory has an agent's files that azptend did not
// write.
func (d Dir) hasForeignFiles() bool {
	settings, hasSettings := d.readAgentFile(settingsFile)
	var ours, others int
	for _, name := range []string{credentialsFile, keyFile} {
		switch content, exists := d.readAgentFile(name); {
		case exists && writtenByAzptend(content):
			ours++
		case exists:
			others++
		}
	}
	if !hasSettings && ours+others == 0 {
		return false
	}
	if record, found := d.Owner(); found {
		r, valid := parseSettings(settings)
		return hasSettings && valid && !record.Matches(r)
	}
	switch {
	case ours+others > 0: // the agent itself may have rewritten .agent
		return others > 0
	case d.PreviousRunKilled():
		return false
	}
	return !writtenByAzptend(settings)
}

// readAgentFile reads one of the files. If it exists and cannot be read, content is empty,
// which counts as not written by azptend.
func (d Dir) readAgentFile(name string) (content []byte, exists bool) {
	content, err := safefile.Dir(d.Root).ReadFile(name, maxFileSize)
	return content, !errors.Is(err, fs.ErrNotExist)
}

// writtenByAzptend reports whether a file has azptend's format. Files of the agent and of
// config.sh begin with a byte order mark and have another order.
func writtenByAzptend(b []byte) bool {
	var content any
	if json.Unmarshal(b, &content) != nil {
		return false
	}
	again, err := json.MarshalIndent(content, "", "  ")
	return err == nil && bytes.Equal(b, append(again, '\n'))
}
