//go:build unix

package install

import (
	"io/fs"
	"slices"
	"strings"
)

// Method is how a file of the installation gets into a root.
type Method string

// The methods, the cheapest first.
const (
	Reflink  Method = "reflink"   // a copy that shares its blocks until one side writes
	HardLink Method = "hard link" // the same file
	Copy     Method = "copy"
)

// JobUser is the user that an agent and its jobs run as.
type JobUser struct{ UID, GID int }

// inode is what hard links share: who may write through one name writes every agent's file.
type inode struct {
	uid  int
	mode fs.FileMode
}

// mayLink says whether a file of the installation may be linked into a root where jobs run as
// this user: only its owner may write it, and the owner is another user. Root may write every
// file. The group bits of the mode hold the mask of an access list, if there is one.
func mayLink(f inode, jobs JobUser) bool {
	const privileged = fs.ModeSetuid | fs.ModeSetgid
	return jobs.UID != 0 && f.uid != jobs.UID && f.mode.IsRegular() && f.mode&(0o022|privileged) == 0
}

// entryKind says what to do with a name in the installation.
type entryKind string

const (
	programEntry entryKind = "program" // bin and externals: an update only renames them
	ownEntry     entryKind = "own"     // a file that each root has a copy of
	skippedEntry entryKind = "left"    // not for a root: an agent's identity, its work, an archive
)

// classifyEntry says what to do with a name in the installation. An update truncates the files
// beside bin in place, so they are never shared (agent-protocol.md 3.9). Each agent has its own
// identity, logs and work, and azptend's files are of one directory.
func classifyEntry(name string, mode fs.FileMode) entryKind {
	switch {
	case name == "bin" || name == "externals":
		return programEntry
	case !mode.IsRegular() || isArchive(name):
		return skippedEntry
	case strings.HasPrefix(name, ".") && !slices.Contains(settingFiles(), name):
		return skippedEntry
	}
	return ownEntry
}

// settingFiles are files that a person may have put into the installation for all its agents
// (agent-protocol.md 3.4 to 3.7).
func settingFiles() []string {
	return []string{
		".env", ".path", ".capabilities", ".setup_info", ".certificates", ".options",
		".proxy", ".proxybypass", ".proxycredentials", ".credential_store",
	}
}

// isArchive finds the package, which images often leave after they have unpacked it.
func isArchive(name string) bool {
	return strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".zip")
}

// Decision says what to do about a root at a start.
type Decision string

// The decisions.
const (
	Create  Decision = "make"    // it holds no agent, or one that was made from an older installation
	Keep    Decision = "keep"    // it is made from this installation
	Foreign Decision = "foreign" // it holds an agent that azptend did not put there
	Leave   Decision = "leave"   // a previous run may still use it
)

// rootState is what a root holds.
type rootState struct {
	hasAgent       bool // bin/Agent.Listener is there
	record         *rootRecord
	damage         error // why the record cannot be read
	previousKilled bool  // an azptend was killed in it
}

// decideRoot says what to do about a root. An agent that has updated itself stays until the
// installation changes. A damaged record shows that azptend made the root, and a job replaced
// the record.
func decideRoot(source string, found rootState) Decision {
	switch {
	case !found.hasAgent:
		return Create
	case found.record == nil && found.damage == nil:
		return Foreign
	case found.damage == nil && found.record.Source == source:
		return Keep
	case found.previousKilled:
		return Leave
	}
	return Create
}

// copyMethods are the methods that have not failed. If a file system cannot do one for a file,
// it cannot do it for the next.
type copyMethods struct{ reflink, link bool }

// best is the best method for a file.
func (w copyMethods) best(linkable bool) Method {
	switch {
	case w.reflink:
		return Reflink
	case w.link && linkable:
		return HardLink
	}
	return Copy
}

// without returns the methods without one that has failed.
func (w copyMethods) without(m Method) copyMethods {
	switch m {
	case Reflink:
		w.reflink = false
	case HardLink:
		w.link = false
	}
	return w
}
