package agentdir

import (
	"bufio"
	"runtime"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// The owner tags: user capabilities that identify azptend's agents. They are not system
// capabilities, because the listener overwrites those when it creates its session.
const (
	TagInstance = "azptend.instance" // a random text for each registration
	TagHost     = "azptend.host"     // "host name:agent directory"; a placeholder has none
	TagKind     = "azptend.kind"     // one of the kinds below
	TagOwner    = "azptend.owner"    // OwnerTag of the key in the directory's record, see OwnerRecord
	TagRemoval  = "azptend.removal"  // who removes the agent, if not the azptend that runs it: RemovalByKeeper
	TagGroup    = "azptend.group"    // the group of agents that a keeper counts it in; missing: none
)

// The values of TagKind and TagRemoval.
const (
	KindAgent       = "agent"
	KindPlaceholder = "placeholder" // never runs
	KindSelftest    = "selftest"    // `azptend selftest` registers and removes it
	RemovalByKeeper = "keeper"
)

// SystemCapabilities are the system capabilities until the listener's session exists: then
// the listener sends its own (agent-protocol.md 2.2).
func SystemCapabilities(name, version, hostName, root string) map[string]string {
	return map[string]string{
		"Agent.Name":           name,
		"Agent.Version":        version,
		"Agent.ComputerName":   hostName,
		"Agent.HomeDirectory":  root,
		"Agent.OS":             osName(runtime.GOOS),
		"Agent.OSArchitecture": archName(runtime.GOARCH),
		"InteractiveSession":   "False",
	}
}

func osName(goos string) string {
	switch goos {
	case "darwin":
		return "Darwin"
	case "windows":
		return "Windows_NT"
	}
	return "Linux"
}

func archName(goarch string) string {
	switch goarch {
	case "amd64":
		return "X64"
	case "386":
		return "X86"
	}
	return strings.ToUpper(goarch) // ARM64, ARM
}

// OSDescription is .NET's name of the operating system: PRETTY_NAME of /etc/os-release.
func OSDescription() string {
	f, err := safefile.Open("/etc/os-release")
	if err != nil {
		return osName(runtime.GOOS)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); found {
			return strings.Trim(value, `"'`)
		}
	}
	return osName(runtime.GOOS)
}

// PlaceholderVersionPrefix begins the version of a placeholder. No agent has such a version,
// and it meets every demand for a newer agent (agent-protocol.md 2.2).
const PlaceholderVersionPrefix = "99."

// IsPlaceholder reports whether an agent with these user capabilities and this version is a
// placeholder: by TagKind, or, if it has no tag and is offline, by its version.
func IsPlaceholder(tags map[string]string, version string, online bool) bool {
	if kind, tagged := tags[TagKind]; tagged {
		return kind == KindPlaceholder
	}
	return strings.HasPrefix(version, PlaceholderVersionPrefix) && !online
}
