package repository

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// release has the fields of goreleaser's configuration that decide what people download.
type release struct {
	Version int `yaml:"version"`
	Builds  []struct {
		Main, Binary                      string
		Env, Flags, Ldflags, Goos, Goarch []string
	} `yaml:"builds"`
	Archives []struct{ Formats, Files []string } `yaml:"archives"`
	Checksum struct{ Algorithm string }          `yaml:"checksum"`
}

// TestReleaseMatchesMakefile compares goreleaser's configuration with the Makefile, whose binaries are
// built and measured for each change. goreleaser itself is slow, so make release-check runs it.
func TestReleaseMatchesMakefile(t *testing.T) {
	b, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r release
	if err := yaml.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Version != 2 || len(r.Builds) != 1 || len(r.Archives) != 1 || r.Checksum.Algorithm != "sha256" {
		t.Fatalf("the configuration is %+v", r)
	}
	built := r.Builds[0]
	for what, pair := range map[string][2][]string{
		"main and binary": {{built.Main, built.Binary}, {"./cmd/azptend", "azptend"}},
		"env":             {built.Env, {"CGO_ENABLED=0"}},
		"flags":           {built.Flags, {"-trimpath"}},
		"ldflags":         {built.Ldflags, {"-s -w"}},
		"goos":            {built.Goos, {"linux"}},
		"goarch":          {built.Goarch, {"amd64", "arm64"}},
		"formats":         {r.Archives[0].Formats, {"tar.gz"}},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`GOFLAGS_RELEASE := -trimpath -ldflags=-s\ -w`, "build-all: dist/azptend-linux-amd64 dist/azptend-linux-arm64 ", "CGO_ENABLED=0 GOOS=linux"} {
		if !strings.Contains(string(makefile), want) {
			t.Errorf("the Makefile lacks %q: does it still build what is released?", want)
		}
	}
	for _, file := range r.Archives[0].Files {
		if _, err := os.Stat("../../" + file); err != nil {
			t.Errorf("the archive wants %s: %v", file, err)
		}
	}
}
