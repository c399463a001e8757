package agentdir

import (
	"bufio"
	"runtime"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// The user capabilities by which we know our own agents. System capabilities
// would not do: the listener overwrites them when it creates its session.
const (
	TagInstance     = "azptend.instance" // a UUID a registration
	TagHost         = "azptend.host"     // "host name:agent folder", where the agent lives
	TagKind         = "azptend.kind"     // one of the kinds below
	KindAgent       = "agent"
	KindPlaceholder = "placeholder"   // never runs, lives nowhere, and has no MarkHost
	TagOwner        = "azptend.owner" // proves, with the record in its directory, whose an agent is: OwnerTag of the record's key
	KindSelftest    = "selftest"      // a throw-away one, on which `azptend selftest` tries the server
)

// TagRemoval says who removes the agent, where that is not the life that runs it:
// RemovalByKeeper.
const (
	TagRemoval      = "azptend.removal"
	RemovalByKeeper = "keeper"
)

// SystemCapabilities are enough for the time between registration and session;
// then the listener sends its own (agent-protocol.md 2.2).
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

// OSDescription is what .NET calls the system: PRETTY_NAME of /etc/os-release.
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

// PlaceholderVersionPrefix begins the version of a placeholder: no agent has it, and every
// demand for a newer agent is met by it (agent-protocol.md 2.2).
const PlaceholderVersionPrefix = "99."

// IsPlaceholder says whether an agent of these marks and this version only holds
// a place: by our mark, or, of one that is not online and bears none, by a version
// that no agent has.
func IsPlaceholder(marks map[string]string, version string, online bool) bool {
	if kind, marked := marks[TagKind]; marked {
		return kind == KindPlaceholder
	}
	return strings.HasPrefix(version, PlaceholderVersionPrefix) && !online
}
