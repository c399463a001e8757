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

// This file is about an agent's files that azptend has not written: those of
// config.sh, say, that came with an image or that a person has made. To replace
// them loses the key of that agent, which then can neither run nor be removed by
// its own tool.

// agentFiles are the files that make an agent of a folder.
var agentFiles = []string{settingsFile, credentialsFile, keyFile}

// replacedDirPattern names the folders that such files are moved to.
const replacedDirPattern = ".azptend-replaced-"

// CheckForeignFiles says whether the folder is free for an agent of azptend's: it holds no
// agent's files, or azptend's own. The error is an *UnfitError.
func (f Dir) CheckForeignFiles() error {
	if !f.hasForeignFiles() {
		return nil
	}
	who := "an agent"
	if r, found, _ := f.Registration(); found {
		who = fmt.Sprintf("the agent %q (id %d, pool %d) of %s", r.AgentName, r.AgentID, r.PoolID, quoteIfOdd(r.ServerURL))
	}
	return f.dirError("it holds the files of "+who+", which azptend has not registered: it would have to replace them",
		"remove that agent with the tool that made it (./config.sh remove), or use another folder (AZP_AGENT_DIR, AZP_AGENT_ROOT); "+
			"AZP_REPLACE_AGENT_FILES (--replace-agent-files) moves its files aside and goes on, and leaves that agent in its pool", nil)
}

// quoteIfOdd is a server's address as a file of others has it, in quotes if that is
// no plain text.
func quoteIfOdd(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// MoveForeignFiles moves the files of an agent that azptend has not registered into a
// folder of their own, and returns that. Where there are none it is "". The error is
// an *UnfitError.
func (f Dir) MoveForeignFiles(now time.Time) (dir string, err error) {
	if !f.hasForeignFiles() {
		return "", nil
	}
	dir, err = os.MkdirTemp(filepath.Clean(f.Root), replacedDirPattern+now.UTC().Format("20060102T150405Z")+"-*") // 0700
	for _, name := range agentFiles {
		if err == nil {
			err = os.Rename(filepath.Join(f.Root, name), filepath.Join(dir, name))
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return "", f.dirError("cannot move another agent's files aside: "+withoutPath(err), writeHint(err), err)
	}
	return dir, nil
}

// hasForeignFiles says whether an agent's files are here that azptend has not
// written.
func (f Dir) hasForeignFiles() bool {
	settings, hasSettings := f.readAgentFile(settingsFile)
	var ours, others int
	for _, name := range []string{credentialsFile, keyFile} {
		switch content, has := f.readAgentFile(name); {
		case has && writtenByAzptend(content):
			ours++
		case has:
			others++
		}
	}
	if !hasSettings && ours+others == 0 {
		return false
	}
	if record, found := f.Owner(); found {
		r, sense := parseSettings(settings)
		return hasSettings && sense && !record.Matches(r)
	}
	switch {
	case ours+others > 0: // .agent may have been written anew by the agent itself
		return others > 0
	case f.PreviousRunKilled():
		return false
	}
	return !writtenByAzptend(settings)
}

// readAgentFile reads one of the files. One that is there and cannot be read is not
// azptend's form, and empty.
func (f Dir) readAgentFile(name string) (content []byte, has bool) {
	content, err := safefile.Dir(f.Root).ReadFile(name, maxFileSize)
	return content, !errors.Is(err, fs.ErrNotExist)
}

// writtenByAzptend says whether a file is written as azptend writes: the agent itself, and
// config.sh, begin with a byte order mark and have another order.
func writtenByAzptend(b []byte) bool {
	var content any
	if json.Unmarshal(b, &content) != nil {
		return false
	}
	again, err := json.MarshalIndent(content, "", "  ")
	return err == nil && bytes.Equal(b, append(again, '\n'))
}
