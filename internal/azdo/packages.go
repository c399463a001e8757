package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Package is an archive of the agent that the organisation offers
// (agent-protocol.md 8).
type Package struct {
	Type        string         `json:"type"`     // "agent", "pipelines-agent"
	Platform    string         `json:"platform"` // "linux-x64"
	Version     PackageVersion `json:"version"`
	DownloadURL string         `json:"downloadUrl"`
	HashValue   string         `json:"hashValue"` // SHA-256; "" where a server gives none
	Filename    string         `json:"filename"`
}

// PackageVersion is an object on the wire, and no text.
type PackageVersion struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

func (v PackageVersion) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AgentPackage is the package of a kind for a platform: of this version, or the
// newest where version is "". There being none is no error: found is false. A
// version is looked for in the list, for of one there is not nobody knows what
// the service answers.
func (c *Client) AgentPackage(ctx context.Context, kind, platform, version string) (p Package, found bool, err error) {
	query := url.Values{"api-version": {apiVersion + "-preview"}, "platform": {platform}} // it never left its preview
	if version == "" {
		query.Set("$top", "1")
	}
	var list struct{ Value []Package }
	err = c.do(ctx, request{
		op:     strings.Join(strings.Fields(fmt.Sprintf("look up the package %s %s %s", kind, platform, version)), " "),
		method: http.MethodGet, path: "_apis/distributedtask/packages/" + url.PathEscape(kind), query: query, into: &list,
	})
	for _, p := range list.Value { // newest first
		if p.DownloadURL != "" && (version == "" || p.Version.String() == version) {
			return p, true, err
		}
	}
	return Package{}, false, err
}

// Own says whether an address is the organisation's own, to which its credentials
// may go: a server of one's own may offer packages itself (agent-protocol.md 8).
func (c *Client) Own(address string) bool {
	ours, err1 := url.Parse(c.base)
	theirs, err2 := url.Parse(address)
	return err1 == nil && err2 == nil && ours.Scheme == theirs.Scheme && strings.EqualFold(ours.Host, theirs.Host)
}
