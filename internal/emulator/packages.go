package emulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// packageVersion is the newest agent in the list, and the target of updates.
const packageVersion = "5.282.3"

type packageJSON struct {
	Type        string      `json:"type"`
	Platform    string      `json:"platform"`
	CreatedOn   *timestamp  `json:"createdOn"`
	Version     versionJSON `json:"version"` // an object, not a string (agent-protocol.md 8)
	DownloadURL string      `json:"downloadUrl"`
	HashValue   string      `json:"hashValue"`
	InfoURL     string      `json:"infoUrl"`
	Filename    string      `json:"filename"`
}

// heldPackage is a package that can be downloaded.
type heldPackage struct {
	packageJSON
	archive []byte
}

// PutPackage makes an archive the newest package of its kind and platform. Before that, the list has packages that
// cannot be downloaded from the emulator.
func (e *Emulator) PutPackage(kind, platform, version string, archive []byte) {
	prefix := choose(kind == "pipelines-agent", kind, "vsts-agent")
	file := fmt.Sprintf("%s-%s-%s.tar.gz", prefix, platform, version)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.packages = slices.Insert(e.packages, 0, heldPackage{e.packageJSON(kind, platform, version, downloadPath, file, archive), archive})
}

// packageJSON describes a package that is at host in a directory of its version; its hash is that of content.
func (e *Emulator) packageJSON(kind, platform, version, host, file string, content []byte) packageJSON {
	sum := sha256.Sum256(content)
	return packageJSON{
		Type: kind, Platform: platform, CreatedOn: timestampOf(e.Now()), Version: splitVersion(version),
		DownloadURL: host + version + "/" + file, HashValue: hex.EncodeToString(sum[:]), Filename: file,
		InfoURL: "https://go.microsoft.com/fwlink/?LinkId=798199",
	}
}

// downloadPath stands for the host from which packages are downloaded.
const downloadPath = "/_packages/agent/"

// AgentPackage is an agent to offer for download, as the newest of kind "agent".
type AgentPackage struct {
	Platform, Version string // "linux-x64", "5.282.3"
	// Archive makes the .tar.gz. It is called once, when a client first asks for packages.
	Archive func() ([]byte, error)
}

// offerAgentPackage puts the package of the options. Call it without mu: an archive takes a second to make.
func (e *Emulator) offerAgentPackage() {
	p := e.opts.AgentPackage
	if p == nil {
		return
	}
	e.packageOnce.Do(func() {
		archive, err := p.Archive()
		if err != nil {
			e.opts.Log.Error("Cannot make the agent package", "error", err)
			return
		}
		e.PutPackage("agent", p.Platform, p.Version, archive)
	})
}

// servePackage answers a download, or a range of it. No credential is asked for, as on the real host. Of that host's
// headers the reference says nothing; another of Microsoft's download hosts was seen to send Content-Length and
// Accept-Ranges (dotnet/install-scripts issue 382).
func (e *Emulator) servePackage(c *request) reply {
	i := slices.IndexFunc(e.packages, func(p heldPackage) bool { return p.DownloadURL == c.http.URL.Path })
	if i < 0 {
		return notFoundPage()
	}
	return reply{contentType: "application/gzip", body: e.packages[i].archive, ranges: true}
}

// getPackages answers what the real list looks like (agent-protocol.md 8).
func (e *Emulator) getPackages(c *request) (any, error) {
	e.offerAgentPackage()
	e.mu.Lock()
	defer e.mu.Unlock()
	kind, want := strings.ToLower(c.params["packageType"]), cmp.Or(c.params["platform"], c.query("platform"))
	out := filter(e.packageList(c.base, kind), func(p packageJSON) bool { return want == "" || strings.EqualFold(p.Platform, want) })
	if v := c.params["version"]; v != "" {
		i := slices.IndexFunc(out, func(p packageJSON) bool { return p.Version == splitVersion(v) })
		if i < 0 {
			return nil, taskError(http.StatusNotFound, "PackageNotFoundException", "No package %s %s.", want, v)
		}
		return out[i], nil
	}
	if n, err := strconv.Atoi(c.query("$top")); err == nil && n >= 0 {
		out = out[:min(n, len(out))]
	}
	return listOf(c, out, asItIs), nil
}

// packageList returns the packages of a kind, newest first: those that were put, else a list with invented hashes.
func (e *Emulator) packageList(base, kind string) []packageJSON {
	var out []packageJSON
	for _, p := range e.packages {
		if p.Type == kind {
			p.DownloadURL = base + p.DownloadURL
			out = append(out, p.packageJSON)
		}
	}
	if len(e.packages) > 0 || !slices.Contains([]string{"agent", "pipelines-agent"}, kind) {
		return out
	}
	for _, p := range []string{"linux-x64", "linux-arm64", "linux-arm", "linux-musl-x64", "linux-musl-arm64",
		"osx-x64", "osx-arm64", "win-x64", "win-x86"} {
		file := fmt.Sprintf("vsts-agent-%s-%s%s", p, packageVersion, choose(strings.HasPrefix(p, "win"), ".zip", ".tar.gz"))
		out = append(out, e.packageJSON(kind, p, packageVersion, "https://download.agent.dev.azure.com/agent/", file, []byte(file)))
	}
	return out
}
