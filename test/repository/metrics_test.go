package repository

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/metrics"
)

// This file compares docs/metrics.md with the program: metrics in both directions, and the log lines
// that the page promises.

func metricsPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ourMetrics are the metrics of run and of keep.
func ourMetrics() []metrics.Family {
	return append(health.NewMetrics("").Families(), keep.NewMetrics("").Families()...)
}

// TestEveryMetricIsDocumented: metrics of run are in docs/metrics.md with their help, metrics of keep
// in docs/keep.md with their labels.
func TestEveryMetricIsDocumented(t *testing.T) {
	page := metricsPage(t)
	for _, f := range health.NewMetrics("").Families() {
		line := fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(f.Labels, ", "), f.Help)
		if !strings.Contains(page, line) {
			t.Errorf("docs/metrics.md lacks the line\n%s", line)
		}
	}
	kept, err := os.ReadFile("../../docs/keep.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range keep.NewMetrics("").Families() {
		row := fmt.Sprintf("| `%s` | %s", f.Name, strings.Join(f.Labels, ", "))
		if !strings.Contains(string(kept), strings.TrimSpace(row)+" |") {
			t.Errorf("docs/keep.md lacks a line that begins\n%s", row)
		}
	}
	for _, span := range append(spans(page), spans(string(kept))...) {
		exists := slices.ContainsFunc(ourMetrics(), func(f metrics.Family) bool { return f.Name == span })
		if strings.HasPrefix(span, "azptend_") && !exists {
			t.Errorf("docs/metrics.md or docs/keep.md names %s, which is no metric", span)
		}
	}
}

// stableLine is a log line that the page promises: its message and its keys.
type stableLine struct {
	message string
	keys    []string
}

var (
	logRow  = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|[^|]*\\|$")
	rowsKey = regexp.MustCompile("`([a-z_]+)`")
)

func stableLines(t *testing.T) []stableLine {
	t.Helper()
	_, table, found := strings.Cut(metricsPage(t), "| `msg` | keys | |\n|---|---|---|\n")
	if !found {
		t.Fatal("docs/metrics.md has no table of the log's lines")
	}
	table, _, _ = strings.Cut(table, "\n\n") // the text that follows it
	var lines []stableLine
	for _, row := range logRow.FindAllStringSubmatch(table, -1) {
		line := stableLine{message: row[1]}
		for _, key := range rowsKey.FindAllStringSubmatch(row[2], -1) {
			line.keys = append(line.keys, key[1])
		}
		lines = append(lines, line)
	}
	if n := strings.Count(table, "\n") + 1; n != len(lines) {
		t.Errorf("the table has %d rows, of which %d were understood", n, len(lines))
	}
	return lines
}

// TestStableLogLines: each line is logged somewhere, all of its keys are on the page, and each key on
// the page is in the source file that logs it.
func TestStableLogLines(t *testing.T) {
	written := loggedLines(t)
	for _, line := range stableLines(t) {
		places := written[line.message]
		if len(places) == 0 {
			t.Errorf("nothing writes %q", line.message)
		}
		for _, place := range places {
			for _, key := range place.keys {
				if !slices.Contains(line.keys, key) {
					t.Errorf("%s writes %q with the key %q, which docs/metrics.md lacks", place.file, line.message, key)
				}
			}
		}
		for _, key := range line.keys {
			if !slices.ContainsFunc(places, func(p logged) bool { return slices.Contains(p.near, key) }) {
				t.Errorf("%q has no key %q", line.message, key)
			}
		}
	}
}

// logged is a call that logs a line.
type logged struct {
	file string
	keys []string // keys in the call
	near []string // all strings in its file, for keys that are collected before
}

// loggedLines are all calls that log, by their message.
func loggedLines(t *testing.T) map[string][]logged {
	t.Helper()
	found := map[string][]logged{}
	for dir, files := range sources(t) {
		if !strings.HasPrefix(dir, "internal/") {
			continue
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			near := textsOf(f)
			ast.Inspect(f, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if message, keys := lineOf(call, is); message != "" {
					found[message] = append(found[message], logged{filepath.ToSlash(file), keys, near})
				}
				return true
			})
		}
	}
	return found
}

// lineOf is the message that a call logs; "" if it is not such a call.
func lineOf(call *ast.CallExpr, is bool) (message string, keys []string) {
	if !is {
		return "", nil
	}
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log"}, method.Sel.Name) {
		return "", nil
	}
	args := call.Args
	if method.Sel.Name == "Log" { // after its context and level
		args = args[min(2, len(args)):]
	}
	if len(args) == 0 {
		return "", nil
	}
	for i := 1; i < len(args); i += 2 {
		if key := textOf(args[i]); key != "" {
			keys = append(keys, key)
		}
	}
	return textOf(args[0]), keys
}

func textsOf(f *ast.File) []string {
	var texts []string
	ast.Inspect(f, func(n ast.Node) bool {
		if e, is := n.(ast.Expr); is {
			if text := textOf(e); text != "" {
				texts = append(texts, text)
			}
		}
		return true
	})
	return texts
}

func textOf(e ast.Expr) string {
	lit, is := e.(*ast.BasicLit)
	if !is || lit.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	return text
}
