package repository

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/test/internal/dockerfile"
)

// today is set by make release-check. Other runs must not depend on the date.
var today = flag.String("today", "", "the date on which the support of what azptend is built on must not have ended")

// TestSupport: each base of azptend has a row in docs/release.md. With -today it also fails if the
// support of one has ended.
func TestSupport(t *testing.T) {
	page, err := os.ReadFile("../../docs/release.md")
	if err != nil {
		t.Fatal(err)
	}
	var on time.Time
	if *today != "" {
		if on, err = time.Parse(time.DateOnly, *today); err != nil {
			t.Fatal(err)
		}
	}
	for _, fault := range unsupported(basesInUse(t), string(page), on) {
		t.Error(fault)
	}
}

func TestUnsupported(t *testing.T) {
	const page = "| base | support ends | source |\n|---|---|---|\n| Go 1.26 | 2027-02-01 | there |\n| Debian 13 | soon | there |\n"
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct {
		base string
		on   time.Time
		want string
	}{
		{"Go 1.26", time.Time{}, ""},
		{"Go 1.26", day("2027-01-31"), ""},
		{"Go 1.26", day("2027-02-01"), "Go 1.26: its support ended on 2027-02-01"},
		{"Go 1.25", time.Time{}, "Go 1.25 has no row in docs/release.md"},
		{"Debian 13", time.Time{}, `Debian 13: "soon" is no date`},
	} {
		if got := strings.Join(unsupported([]string{tt.base}, page, tt.on), "; "); got != tt.want {
			t.Errorf("%s on %s: %q, want %q", tt.base, tt.on.Format(time.DateOnly), got, tt.want)
		}
	}
}

// unsupported says what is wrong with the support of bases, by the page's table.
func unsupported(bases []string, page string, on time.Time) []string {
	ends := map[string]string{}
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			ends[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	var faults []string
	for _, base := range bases {
		text, is := ends[base]
		end, err := time.Parse(time.DateOnly, text)
		switch {
		case !is:
			faults = append(faults, base+" has no row in docs/release.md")
		case err != nil:
			faults = append(faults, fmt.Sprintf("%s: %q is no date", base, text))
		case !on.Before(end):
			faults = append(faults, fmt.Sprintf("%s: its support ended on %s", base, text))
		}
	}
	return faults
}

var (
	goDirective = regexp.MustCompile(`(?m)^(?:go |toolchain go)(1\.\d+)`)
	// imageTag matches an image and the version in its tag: golang:1.26-alpine, debian:13-slim.
	imageTag = regexp.MustCompile(`^(golang|debian|alpine):([0-9.]+)(-[a-z]+)?$`)
	baseName = map[string]string{"golang": "Go", "debian": "Debian", "alpine": "Alpine"}
)

// basesInUse are those of go.mod and the Dockerfiles, with debian.Dockerfile's other version.
func basesInUse(t *testing.T) []string {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	bases := []string{"Debian 12"}
	for _, m := range goDirective.FindAllStringSubmatch(string(b), -1) {
		bases = append(bases, "Go "+m[1])
	}
	files, err := filepath.Glob("../../deploy/images/*.Dockerfile")
	if err != nil || len(files) < 4 || len(bases) < 2 {
		t.Fatalf("bases are %q, images %q, %v", bases, files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stages, err := dockerfile.Parse(string(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range stages {
			if stage.From == "scratch" {
				continue
			}
			m := imageTag.FindStringSubmatch(stage.From)
			if m == nil {
				t.Errorf("%s is FROM %s, which this test does not know", file, stage.From)
				continue
			}
			bases = append(bases, baseName[m[1]]+" "+m[2])
		}
	}
	slices.Sort(bases)
	return slices.Compact(bases)
}
