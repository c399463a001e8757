package repository

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestNotices: THIRD_PARTY_NOTICES names the modules that are linked into azptend on each system.
// `make notices` writes it; make release-check also compares the licences.
func TestNotices(t *testing.T) {
	b, err := os.ReadFile("../../THIRD_PARTY_NOTICES")
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := strings.Cut(string(b), "\n--------")
	var noticed []string
	for _, line := range strings.Split(list, "\n")[2:] { // after the title
		if name, _, found := strings.Cut(line, " ("); found && strings.Contains(name, "/") {
			noticed = append(noticed, name)
		}
	}
	linked := linkedModules(t)
	if len(noticed) < 10 || len(linked) < 10 {
		t.Fatalf("noticed are %q, linked %q", noticed, linked)
	}
	within := func(module, name string) bool { return strings.HasPrefix(name+"/", module+"/") }
	for _, module := range linked {
		if !slices.ContainsFunc(noticed, func(name string) bool { return within(module, name) }) {
			t.Errorf("%s is linked into azptend, and THIRD_PARTY_NOTICES lacks it: run make notices", module)
		}
	}
	for _, name := range noticed {
		if !slices.ContainsFunc(linked, func(module string) bool { return within(module, name) }) {
			t.Errorf("THIRD_PARTY_NOTICES has %s, which is not linked into azptend: run make notices", name)
		}
	}
}

// linkedModules are the modules of others in the released binaries.
func linkedModules(t *testing.T) []string {
	var modules []string
	for _, system := range []string{"linux", "darwin", "windows"} {
		loaded, err := packages.Load(&packages.Config{
			Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedModule,
			Dir:  "../..",
			Env:  append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0"),
		}, "./cmd/azptend")
		if err != nil {
			t.Fatal(err)
		}
		packages.Visit(loaded, nil, func(p *packages.Package) {
			if p.Module != nil && !p.Module.Main {
				modules = append(modules, p.Module.Path)
			}
		})
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}
