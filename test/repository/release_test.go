package repository

import (
	"os"
	"path/filepath"
	"slices"
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
	Nfpms    []struct {
		Formats  []string
		Bindir   string
		Contents []struct {
			Src, Dst string
			Type     string
			FileInfo struct{ Mode int } `yaml:"file_info"`
		}
		Scripts map[string]string
	} `yaml:"nfpms"`
	Checksum struct{ Algorithm string }   `yaml:"checksum"`
	Sboms    []struct{ Artifacts string } `yaml:"sboms"`
	Signs    []struct {
		Cmd, Artifacts, Signature string
		Args                      []string
	} `yaml:"signs"`
	Release struct{ Draft bool } `yaml:"release"`
}

// TestReleaseMatchesMakefile compares goreleaser's configuration with the Makefile, whose binaries are
// built and measured for each change. goreleaser itself is slow, so make release-check runs it.
func TestReleaseMatchesMakefile(t *testing.T) {
	r := readRelease(t)
	if r.Version != 2 || len(r.Builds) != 1 || len(r.Archives) != 1 || r.Checksum.Algorithm != "sha256" {
		t.Fatalf("the configuration is %+v", r)
	}
	built := r.Builds[0]
	for what, pair := range map[string][2][]string{
		"main and binary": {{built.Main, built.Binary}, {"./cmd/azptend", "azptend"}},
		"env":             {built.Env, {"CGO_ENABLED=0"}},
		"flags":           {built.Flags, {"-trimpath", "-buildvcs=true"}},
		"ldflags":         {built.Ldflags, {"-s -w"}},
		"goos":            {built.Goos, {"linux", "darwin", "windows"}},
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
	for _, want := range []string{"GOOS=darwin go vet ./internal/... ./cmd/...", "GOOS=windows go build -o /dev/null ./cmd/azptend", `GOFLAGS_RELEASE := -trimpath -ldflags=-s\ -w`, "build-all: dist/azptend-linux-amd64 dist/azptend-linux-arm64 ", "CGO_ENABLED=0 GOOS=linux"} {
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

func readRelease(t *testing.T) release {
	b, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r release
	if err := yaml.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReleasePackages: the deb and rpm contain what deploy/package has, and nobody but root reads the settings.
func TestReleasePackages(t *testing.T) {
	r := readRelease(t)
	if len(r.Nfpms) != 1 {
		t.Fatalf("packages are %+v", r.Nfpms)
	}
	p := r.Nfpms[0]
	if !slices.Equal(p.Formats, []string{"deb", "rpm"}) || p.Bindir != "/usr/bin" {
		t.Errorf("formats are %q, in %s", p.Formats, p.Bindir)
	}
	var sources []string
	for _, script := range p.Scripts {
		sources = append(sources, script)
	}
	for _, c := range p.Contents {
		sources = append(sources, c.Src)
		want, kind := 0o644, ""
		if strings.HasPrefix(c.Dst, "/etc/") {
			want, kind = 0o600, "config|noreplace"
		}
		if c.FileInfo.Mode != want || c.Type != kind {
			t.Errorf("%s has mode %o and type %q", c.Dst, c.FileInfo.Mode, c.Type)
		}
	}
	files, err := filepath.Glob("../../deploy/package/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("files are %q, %v", files, err)
	}
	for _, file := range files {
		if name := strings.TrimPrefix(file, "../../"); !slices.Contains(sources, name) {
			t.Errorf("no package has %s", name)
		}
	}
	for _, source := range sources {
		if _, err := os.Stat("../../" + source); err != nil {
			t.Errorf("the packages want %s: %v", source, err)
		}
	}
}

// TestReleaseIsSigned: the sums are signed without a key, each archive has a bill of materials, and a person publishes.
func TestReleaseIsSigned(t *testing.T) {
	r := readRelease(t)
	if len(r.Sboms) != 1 || r.Sboms[0].Artifacts != "archive" {
		t.Errorf("bills of materials are %+v", r.Sboms)
	}
	if len(r.Signs) != 1 || r.Signs[0].Cmd != "cosign" || r.Signs[0].Artifacts != "checksum" || slices.ContainsFunc(r.Signs[0].Args, func(arg string) bool { return strings.HasPrefix(arg, "--key") }) {
		t.Errorf("signatures are %+v", r.Signs)
	}
	if !r.Release.Draft {
		t.Error("a release is published without a person")
	}
}

// TestReleaseNotes: CHANGELOG.md begins with a section of the chart's version, which make release-notes
// finds by the heading's second word. A reader sees it in two screens.
func TestReleaseNotes(t *testing.T) {
	b, err := os.ReadFile("../../deploy/helm/azptend/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		Version    string
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal(b, &chart); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile("../../CHANGELOG.md"); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n## ")
	section, _, _ := strings.Cut(rest, "\n## ")
	if version := strings.Fields(section + " -")[0]; version != chart.Version || version != chart.AppVersion {
		t.Errorf("the newest section is of %q, the chart of %q with azptend %q", version, chart.Version, chart.AppVersion)
	}
	if lines := strings.Count(section, "\n"); lines < 20 || lines > 100 {
		t.Errorf("the newest section has %d lines: these are its release's notes", lines)
	}
}
