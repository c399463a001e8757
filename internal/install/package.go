package install

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Kind is a flavour of the agent (agent-protocol.md 8).
type Kind string

// The flavours. Slim lacks the Node versions that have reached their end of life,
// which old tasks then download before each job.
const (
	Full Kind = "agent"
	Slim Kind = "pipelines-agent"
)

// prefix begins the file names of a kind's archives.
func (k Kind) prefix() string {
	if k == Slim {
		return "pipelines-agent"
	}
	return "vsts-agent"
}

// Package is one archive of the agent.
type Package struct {
	Kind     Kind
	Platform string // "linux-x64"
	Version  string // "5.282.3"
	URL      string // "": it is a local file
	SHA256   string // in hex, lower case
}

// String names the package for a message.
func (p Package) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", p.Kind, p.Platform, p.Version)), " ")
}

// downloadURL is where Microsoft publishes the packages; the older host is retired
// (agent-protocol.md 8).
const downloadURL = "https://download.agent.dev.azure.com/agent/"

// PublishedPackage is a package at the address Microsoft publishes it at, for who asks
// no organisation.
func PublishedPackage(kind Kind, platform, version, sum string) Package {
	file := fmt.Sprintf("%s-%s-%s.tar.gz", kind.prefix(), platform, version)
	return Package{Kind: kind, Platform: platform, Version: version, URL: downloadURL + version + "/" + file, SHA256: sum}
}

// ErrOtherPlatform says that the server's address for a package is another
// platform's: its list gives the glibc archive for the musl rows of "agent"
// (agent-protocol.md 8).
var ErrOtherPlatform = errors.New("the server's address for it is another platform's")

// Check says whether the package is what it says, as far as its address tells.
func (p Package) Check() error {
	if !IsSHA256(p.SHA256) {
		return fmt.Errorf("cannot verify %s: its SHA-256 is not known", p)
	}
	if p.URL == "" {
		return nil
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("cannot download %s: %q is not a URL", p, p.URL)
	case !strings.HasSuffix(strings.ToLower(u.Path), ".tar.gz"):
		return fmt.Errorf("cannot unpack %s: %s is not a .tar.gz file", p, path.Base(u.Path))
	case !strings.Contains(path.Base(u.Path), p.Platform+"-"):
		return fmt.Errorf("cannot download %s: %w (%s)", p, ErrOtherPlatform, path.Base(u.Path))
	}
	return nil
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsSHA256 says whether s is a SHA-256 as Sum returns it.
func IsSHA256(s string) bool { return sha256Pattern.MatchString(s) }

// NormalizeSHA256 is a SHA-256 as people and servers write it, with capitals or dashes, in
// the form that Package wants (agent-protocol.md 8).
func NormalizeSHA256(s string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), "-", ""))
}
