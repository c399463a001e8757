package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Package is an archive of the agent that the organisation offers
// (agent-protocol.md 8).
type Package struct {
	Type        string         `json:"type"`     // "agent", "pipelines-agent"
	Platform    string         `json:"platform"` // "linux-x64"
	Version     PackageVersion `json:"version"`
	DownloadURL string         `json:"downloadUrl"`
	HashValue   string         `json:"hashValue"` // SHA-256; "" if the server returns none
	Filename    string         `json:"filename"`
}

// PackageVersion is a version, which is an object in the API.
type PackageVersion struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

func (v PackageVersion) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AgentPackages lists the packages of a kind for a platform, newest first: all, or only the
// newest. Callers search the list for a version, because it is not known what the service
// answers to a request for a version that does not exist.
func (c *Client) AgentPackages(ctx context.Context, kind, platform string, onlyNewest bool) ([]Package, error) {
	query := url.Values{"api-version": {apiVersion + "-preview"}, "platform": {platform}} // still in preview
	if onlyNewest {
		query.Set("$top", "1")
	}
	var list struct{ Value []Package }
	err := c.do(ctx, request{
		op:     fmt.Sprintf("look up the packages %s %s", kind, platform),
		method: http.MethodGet, path: "_apis/distributedtask/packages/" + url.PathEscape(kind), query: query, into: &list,
	})
	return slices.DeleteFunc(list.Value, func(p Package) bool { return p.DownloadURL == "" }), err
}

// IsOrganisationURL says whether an address is on the organisation's host, so that
// credentials may be sent to it: an Azure DevOps Server may offer packages itself
// (agent-protocol.md 8).
func (c *Client) IsOrganisationURL(address string) bool {
	ours, err1 := url.Parse(c.base)
	theirs, err2 := url.Parse(address)
	return err1 == nil && err2 == nil && ours.Scheme == theirs.Scheme && strings.EqualFold(ours.Host, theirs.Host)
}
