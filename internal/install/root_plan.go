//go:build unix

package install

import (
	"io/fs"
	"slices"
	"strings"
)

// Method is how an installation's files come into a root.
type Method string

// The methods, the cheapest first.
const (
	Reflink  Method = "reflink"   // a copy that shares its blocks until one side writes
	HardLink Method = "hard link" // the very file, of which both have a name
	Copy     Method = "copy"
)

// JobUser is whom an agent and its jobs run as.
type JobUser struct{ UID, GID int }

// inode is what a hard link shares: whoever may write it through one name writes
// every agent's.
type inode struct {
	uid  int
	mode fs.FileMode
}

// mayLink says whether a file of the installation may have a name in a root where
// jobs run as this user: nobody but its owner writes it, and the owner is somebody
// else. Root writes everything. The mode's group bits also hold the mask of an
// access list, so that there is none to look at.
func mayLink(f inode, jobs JobUser) bool {
	const privileged = fs.ModeSetuid | fs.ModeSetgid
	return jobs.UID != 0 && f.uid != jobs.UID && f.mode.IsRegular() && f.mode&(0o022|privileged) == 0
}

// entryKind is what becomes of something in an installation's folder.
type entryKind string

const (
	programEntry entryKind = "program" // bin and externals: what an update only ever renames
	ownEntry     entryKind = "own"     // a file that each root has for itself
	skippedEntry entryKind = "left"    // not a root's: an agent's identity, its work, an archive
)

// classifyEntry sorts what is in an installation's folder. An update truncates the files
// beside bin in place, so they are never shared (agent-protocol.md 3.9); an
// agent's identity, logs and work are its own, and so is what azptend keeps.
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

// settingFiles are the files in an agent's folder that a person may have put there
// for every agent of it (agent-protocol.md 3.4 to 3.7).
func settingFiles() []string {
	return []string{
		".env", ".path", ".capabilities", ".setup_info", ".certificates", ".options",
		".proxy", ".proxybypass", ".proxycredentials", ".credential_store",
	}
}

// isArchive: images often leave the package that they have unpacked.
func isArchive(name string) bool {
	return strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".zip")
}

// Decision is what is done about a root at a start.
type Decision string

// The decisions.
const (
	Create  Decision = "make"    // there is no agent in it, or an older one of the installation's
	Keep    Decision = "keep"    // it is the installation's
	Foreign Decision = "foreign" // somebody else has put an agent there
	Leave   Decision = "leave"   // an earlier life may still be at work in it
)

// rootState is how a root was found.
type rootState struct {
	hasAgent       bool // bin/Agent.Listener is there
	record         *rootRecord
	damage         error // the mark cannot be read
	previousKilled bool  // an azptend was killed in it
}

// decideRoot says what is done about a root. An agent that has updated itself since
// stays as it is until the installation changes. A damaged mark is of a root that
// azptend has made: a job has put something else in its place.
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

// copyMethods are those that have not failed yet. What a file system cannot do for one
// file it cannot do for the next.
type copyMethods struct{ reflink, link bool }

// best is the best way left for a file.
func (w copyMethods) best(linkable bool) Method {
	switch {
	case w.reflink:
		return Reflink
	case w.link && linkable:
		return HardLink
	}
	return Copy
}

// without is what is left when a method has failed.
func (w copyMethods) without(m Method) copyMethods {
	switch m {
	case Reflink:
		w.reflink = false
	case HardLink:
		w.link = false
	}
	return w
}
