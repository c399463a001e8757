package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// packageVersion is the newest agent there is here, and what an update asks for.
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

// PutPackage makes an archive the newest package of its kind and platform. Until
// one is put, the list tells of packages that cannot be downloaded from here.
func (e *Emulator) PutPackage(kind, platform, version string, archive []byte) {
	prefix := "vsts-agent"
	if kind == "pipelines-agent" {
		prefix = kind
	}
	sum := sha256.Sum256(archive)
	file := fmt.Sprintf("%s-%s-%s.tar.gz", prefix, platform, version)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.packages = slices.Insert(e.packages, 0, heldPackage{archive: archive, packageJSON: packageJSON{
		Type: kind, Platform: platform, CreatedOn: timestampOf(e.now()), Version: splitVersion(version),
		DownloadURL: downloadPath + version + "/" + file, HashValue: hex.EncodeToString(sum[:]), Filename: file,
		InfoURL: "https://go.microsoft.com/fwlink/?LinkId=798199",
	}})
}

// downloadPath plays the host that packages are downloaded from.
const downloadPath = "/_packages/agent/"

// servePackage answers a download: all of it, or a range, and how long that is. Nobody is asked who he is, as on the
// real host. Of that host's headers the reference says nothing; another of Microsoft's download hosts was seen to send
// Content-Length and Accept-Ranges (dotnet/install-scripts issue 382).
func (e *Emulator) servePackage(r *http.Request) reply {
	i := slices.IndexFunc(e.packages, func(p heldPackage) bool { return p.DownloadURL == r.URL.Path })
	if i < 0 {
		return notFoundPage()
	}
	archive := e.packages[i].archive
	out := reply{status: http.StatusOK, header: http.Header{"Accept-Ranges": {"bytes"}}, contentType: "application/gzip", body: archive}
	if begin, end, asked := byteRange(r.Header.Get("Range"), len(archive)); asked {
		out.status, out.body = http.StatusPartialContent, archive[begin:end]
		out.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", begin, end-1, len(archive)))
		if begin == end {
			out.status, out.contentType = http.StatusRequestedRangeNotSatisfiable, ""
			out.header.Set("Content-Range", fmt.Sprintf("bytes */%d", len(archive)))
		}
	}
	out.header.Set("Content-Length", strconv.Itoa(len(out.body)))
	return out
}

// byteRange is what a Range header asks for of size bytes, from begin up to but not including end: none of them where
// it asks for what is behind the end. What is no range counts as not asked for, and so do several ranges, of which a
// server need not know (RFC 9110, 14.2).
func byteRange(header string, size int) (begin, end int, asked bool) {
	span, isBytes := strings.CutPrefix(header, "bytes=")
	first, last, isSpan := strings.Cut(span, "-")
	if !isBytes || !isSpan {
		return 0, 0, false
	}
	to, err := strconv.ParseUint(last, 10, 31)
	if first == "" { // the last bytes
		return size - min(int(to), size), size, err == nil
	}
	from, notFirst := strconv.ParseUint(first, 10, 31)
	switch {
	case notFirst != nil || last != "" && (err != nil || to < from):
		return 0, 0, false
	case last == "":
		return min(int(from), size), size, true
	}
	return min(int(from), size), min(int(to)+1, size), true
}

// getPackages answers what the real list looks like (agent-protocol.md 8).
func (e *Emulator) getPackages(c *request) (reply, error) {
	kind, want := strings.ToLower(c.params["packageType"]), c.params["platform"]
	if want == "" {
		want = c.query("platform")
	}
	out := []packageJSON{}
	for _, p := range e.packageList(c.base, kind) {
		if want == "" || strings.EqualFold(p.Platform, want) {
			out = append(out, p)
		}
	}
	if v := c.params["version"]; v != "" {
		i := slices.IndexFunc(out, func(p packageJSON) bool { return p.Version == splitVersion(v) })
		if i < 0 {
			return reply{}, taskError(http.StatusNotFound, "PackageNotFoundException", "No package %s %s.", want, v)
		}
		return jsonReply(http.StatusOK, out[i]), nil
	}
	if n, err := strconv.Atoi(c.query("$top")); err == nil && n >= 0 {
		out = out[:min(n, len(out))]
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

// packageList is every package of a kind, newest first: those that were put, else
// a list whose hashes are made up.
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
		ext := ".tar.gz"
		if strings.HasPrefix(p, "win") {
			ext = ".zip"
		}
		file := fmt.Sprintf("vsts-agent-%s-%s%s", p, packageVersion, ext)
		sum := sha256.Sum256([]byte(file))
		out = append(out, packageJSON{
			Type: kind, Platform: p, CreatedOn: timestampOf(e.now()), Version: splitVersion(packageVersion),
			DownloadURL: "https://download.agent.dev.azure.com/agent/" + packageVersion + "/" + file,
			HashValue:   hex.EncodeToString(sum[:]), Filename: file,
			InfoURL: "https://go.microsoft.com/fwlink/?LinkId=798199",
		})
	}
	return out
}
