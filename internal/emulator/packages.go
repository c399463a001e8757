package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// packageVersion is the newest agent there is here, and what an update asks for.
const packageVersion = "4.260.0"

type packageJSON struct {
	Type        string      `json:"type"`
	Platform    string      `json:"platform"`
	CreatedOn   *stamp      `json:"createdOn"`
	Version     versionJSON `json:"version"` // an object, not a string (agent-protocol.md 8)
	DownloadURL string      `json:"downloadUrl"`
	HashValue   string      `json:"hashValue"`
	InfoURL     string      `json:"infoUrl"`
	Filename    string      `json:"filename"`
}

// getPackages answers what the real list looks like; the hash is made up, and there is nothing to download.
func (e *Emulator) getPackages(c *request) (reply, error) {
	platforms := []string{"linux-x64", "linux-arm64", "linux-arm", "linux-musl-x64", "linux-musl-arm64",
		"osx-x64", "osx-arm64", "win-x64", "win-x86"}
	kind := strings.ToLower(c.params["packageType"])
	want := c.params["platform"]
	if want == "" {
		want = c.q("platform")
	}
	out := []packageJSON{}
	known := slices.Contains([]string{"agent", "pipelines-agent"}, kind)
	for _, p := range platforms {
		if !known || want != "" && !strings.EqualFold(p, want) {
			continue
		}
		ext := ".tar.gz"
		if strings.HasPrefix(p, "win") {
			ext = ".zip"
		}
		file := fmt.Sprintf("vsts-agent-%s-%s%s", p, packageVersion, ext)
		sum := sha256.Sum256([]byte(file))
		out = append(out, packageJSON{
			Type: kind, Platform: p, CreatedOn: stampOf(e.now()), Version: splitVersion(packageVersion),
			DownloadURL: "https://download.agent.dev.azure.com/agent/" + packageVersion + "/" + file,
			HashValue:   hex.EncodeToString(sum[:]), Filename: file,
			InfoURL: "https://go.microsoft.com/fwlink/?LinkId=798199",
		})
	}
	if v := c.params["version"]; v != "" {
		if v != packageVersion || len(out) != 1 {
			return reply{}, taskError(http.StatusNotFound, "PackageNotFoundException", "No package %s %s.", want, v)
		}
		return jsonReply(http.StatusOK, out[0]), nil
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}
