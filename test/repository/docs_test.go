package repository

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/test/internal/process"
)

// TestConfigurationPage compares the tables of docs/configuration.md with the settings. With -update
// it writes them.
func TestConfigurationPage(t *testing.T) {
	rows, groups := map[config.Group]string{}, []config.Group{}
	for _, row := range config.Table {
		if rows[row.Group] == "" {
			groups = append(groups, row.Group)
		}
		flag, value := "none", ""
		if row.Flag != "" {
			flag = "`--" + row.Flag + "`"
		}
		if row.Default != "" {
			value = "`" + row.Default + "`"
		}
		rows[row.Group] += fmt.Sprintf("| `%s` | %s | %s | `%s` | %s |\n", row.Env, flag, value, row.Example, row.Help)
	}
	tables := "\n"
	for _, group := range groups {
		tables += fmt.Sprintf("## %s\n\n| variable | flag | default | example | |\n|---|---|---|---|---|\n%s\n", group, rows[group])
	}
	holdBlock(t, "../../docs/configuration.md", "<!-- settings: written by", "<!-- end of settings -->", tables)
}

// TestExitCodePage compares the table of docs/exit-codes.md with the program's.
func TestExitCodePage(t *testing.T) {
	var table strings.Builder
	table.WriteString("| code | when |\n|---|---|\n")
	for _, row := range exitcode.Table() {
		fmt.Fprintf(&table, "| %s | %s |\n", row.Code, row.When)
	}
	holdBlock(t, "../../docs/exit-codes.md", "<!-- codes: written by", "<!-- end of codes -->", "\n"+table.String()+"\n")
}

// link matches a link or a picture in Markdown, with its target.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksResolve checks that links to files in this repository resolve, including headings. Other
// links are not checked, because tests have no network.
func TestLinksResolve(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	top, _ := filepath.Glob("../../*.md")
	if err != nil || len(files) == 0 || len(top) == 0 {
		t.Fatalf("no texts: %v", err)
	}
	seen := 0
	for _, file := range append(files, top...) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(withoutCode(string(b)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			seen++
			if why := deadLink(file, m[1]); why != "" {
				t.Errorf("%s links to %s: %s", file, m[1], why)
			}
		}
	}
	if seen == 0 {
		t.Error("no link was seen")
	}
}

// deadLink says what is wrong with a link of a file.
func deadLink(file, to string) string {
	path, heading, _ := strings.Cut(to, "#")
	target := file
	if path != "" {
		target = filepath.Join(filepath.Dir(file), filepath.FromSlash(path))
	}
	if rel, err := filepath.Rel("../..", target); err != nil || strings.HasPrefix(rel, "..") {
		return "it leads out of the repository"
	}
	info, err := os.Stat(target)
	if err != nil {
		return "there is no such file"
	}
	if heading == "" {
		return ""
	}
	if info.IsDir() {
		return "a folder has no headings"
	}
	b, err := os.ReadFile(target)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(withoutCode(string(b))) {
		if text, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") && anchor(text) == heading {
			return ""
		}
	}
	return "there is no such heading"
}

// anchor is GitHub's anchor for a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// withoutCode is a Markdown text without its blocks of code, in which # begins a comment.
func withoutCode(text string) string {
	var kept []string
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		} else if !code {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// TestReadmeShowsTheDemo compares the README's transcript with the demo's output.
func TestReadmeShowsTheDemo(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, transcript, _ := strings.Cut(string(readme), "```\n")
	transcript, _, _ = strings.Cut(transcript, "```\n")
	if strings.Count(transcript, "\n") < 5 {
		t.Fatalf("README.md shows no transcript of the demo: %q", transcript)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown := process.Command(ctx, buildPrograms(t).Lab, "demo")
	out, err := shown.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out)
	}
	rest := wordsOf(string(out))
	for line := range strings.Lines(transcript) {
		_, after, found := strings.Cut(rest, wordsOf(line))
		if !found {
			t.Fatalf("the demo does not print %q, in README.md's order", wordsOf(line))
		}
		rest = after
	}
}

// wordsOf is a text without what differs between two runs: numbers, and the width of columns.
func wordsOf(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
