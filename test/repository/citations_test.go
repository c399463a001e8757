package repository

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// citation is a page with the sections that a text cites:
// "reference/identity.md 1.1, 1.2", "azure-devops-rest.md 5", "docs/platforms.md".
var citation = regexp.MustCompile(`((?:[\w.-]+/)*[\w-]+\.md)((?:,? (?:and |to )?[0-9]{1,2}(?:\.[0-9]{1,2})?[a-z]?\b)*)`)

// section is one number in a citation.
var section = regexp.MustCompile(`[0-9]{1,2}(?:\.[0-9]{1,2})?[a-z]?`)

// heading is the number of a section in a page of docs/reference.
var heading = regexp.MustCompile(`(?m)^#+ ([0-9]{1,2}(?:\.[0-9]{1,2})?[a-z]?)\.? `)

// entry is the number of an entry of a list in such a page.
var entry = regexp.MustCompile(`^([0-9]{1,2})\. `)

// TestCitationsResolve checks that all pages that comments cite are in this repository, and have
// the sections. A page with a section number and without a directory is in docs/reference. If
// docs has one with the same name, the citation must name the directory.
func TestCitationsResolve(t *testing.T) {
	seen := 0
	for where, text := range textsWithCitations(t) {
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			seen++
			if why := unresolved(m[1], section.FindAllString(m[2], -1)); why != "" {
				t.Errorf("%s cites %q: %s", where, m[0], why)
			}
		}
	}
	if seen < 100 {
		t.Errorf("saw %d citations: the code has more", seen)
	}
}

// TestCitationRules shows that each rule finds a fault.
func TestCitationRules(t *testing.T) {
	for text, ok := range map[string]bool{
		"as told (reference/identity.md 1.1)":                             true,
		"as told (reference/identity.md 1.1 and 6)":                       true,
		"docs/platforms.md":                                               true,
		"see README.md":                                                   true,
		"azure-devops-rest.md 2.4. Then 17 follow.":                       true,
		"as told (identity.md 1.1)":                                       false, // there are two
		"as told (reference/identity.md 1.1, 1.99)":                       false,
		"https://github.com/azptend/azptend/blob/main/docs/operations.md": true,
		"https://github.com/azptend/azptend/blob/main/docs/nowhere.md":    false,
		"nowhere.md":      false,
		"docs/nowhere.md": false,
		"platforms.md 1":  false,
	} {
		good := true
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			good = good && unresolved(m[1], section.FindAllString(m[2], -1)) == ""
		}
		if good != ok {
			t.Errorf("%q resolves: %v, want %v", text, good, ok)
		}
	}
}

// unresolved says what is wrong with a citation; "" if nothing is.
func unresolved(page string, sections []string) string {
	page = strings.TrimPrefix(page, "github.com/azptend/azptend/blob/main/")
	inDocs, inReference := "docs/"+page, "docs/reference/"+strings.TrimPrefix(page, "reference/")
	places := []string{page, inDocs, inReference}
	if len(sections) > 0 {
		places = []string{inReference}
	}
	if exists(inDocs) && exists(inReference) && inDocs != inReference {
		return "docs and docs/reference both have such a page: name the directory"
	}
	for _, place := range places {
		b, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(place)))
		if err != nil {
			continue
		}
		have := sectionsOf(string(b))
		for _, s := range sections {
			if !have[s] {
				return place + " has no section " + s
			}
		}
		return ""
	}
	return "there is no such page here"
}

func exists(page string) bool {
	_, err := os.Stat(filepath.Join("../..", filepath.FromSlash(page)))
	return err == nil
}

// sectionsOf are the numbers of a page's headings, and of the entries of a numbered list directly
// below a heading: entry 3 of section 10 is 10.3.
func sectionsOf(page string) map[string]bool {
	have, current := map[string]bool{}, ""
	for line := range strings.Lines(page) {
		if m := heading.FindStringSubmatch(line); m != nil {
			current = m[1]
			have[current] = true
		} else if m := entry.FindStringSubmatch(line); m != nil && current != "" {
			have[current+"."+m[1]] = true
		}
	}
	return have
}

// textsWithCitations are the comments of all Go files and the texts of scripts
// and manifests, by file and, for Go, by comment.
func textsWithCitations(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "../..").Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		switch filepath.Ext(name) {
		case ".go":
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if os.IsNotExist(err) { // deleted and not committed yet
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range f.Comments {
				texts[fset.Position(c.Pos()).String()] = strings.Join(strings.Fields(c.Text()), " ")
			}
		case ".txtar", ".yaml", ".tpl", ".bicep", ".service", ".Dockerfile":
			b, err := os.ReadFile(name)
			if err == nil {
				texts[name] = string(b)
			}
		}
	}
	return texts
}
