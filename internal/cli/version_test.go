package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestVersion shows what is known of each way to build azptend.
func TestVersion(t *testing.T) {
	const commit = "10fdf1f2a3b4c5d6e7f8091a2b3c4d5e6f708192"
	checkout := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: commit}, {Key: "vcs.time", Value: "2026-12-01T03:19:00Z"}}
	for _, tt := range []struct {
		name, module string
		settings     []debug.BuildSetting
		want         string
	}{
		{"a checkout of a tag", "v0.1.0", checkout, "azptend 0.1.0 (commit 10fdf1f2a3b4 of 2026-12-01T03:19:00Z, go1.27.4, "},
		{"a checkout between tags", "v0.1.1-0.20261201031900-10fdf1f2a3b4+dirty", append(checkout, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"azptend 0.1.1-0.20261201031900-10fdf1f2a3b4+dirty (commit 10fdf1f2a3b4 of 2026-12-01T03:19:00Z, modified, go1.27.4, "},
		{"go install of a version", "v0.1.0", nil, "azptend 0.1.0 (go1.27.4, "},
		{"no version control", "(devel)", nil, "azptend 0.0.0-dev (go1.27.4, "},
	} {
		info := &debug.BuildInfo{GoVersion: "go1.27.4", Main: debug.Module{Version: tt.module}, Settings: tt.settings}
		if got, want := buildInfoOf(info).String(), tt.want+runtime.GOOS+"/"+runtime.GOARCH+")"; got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}
