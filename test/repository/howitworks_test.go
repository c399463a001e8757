package repository

import (
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

	"github.com/azptend/azptend/internal/config"
)

// This file compares the names in docs/how-it-works.md with the sources, in both directions: names on
// the page exist, and names that lifecycle exports are on the page.
// internal/lifecycle/page_test.go checks the page's diagram and times.

const howItWorks = "../../docs/how-it-works.md"

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// spans are the code spans of a text.
func spans(text string) []string {
	var found []string
	for _, m := range codeSpan.FindAllStringSubmatch(withoutCode(text), -1) {
		found = append(found, m[1])
	}
	return found
}

func TestHowItWorksNamesExist(t *testing.T) {
	b, err := os.ReadFile(howItWorks)
	if err != nil {
		t.Fatal(err)
	}
	n := namesOf(t)
	kinds := map[string]int{}
	for _, span := range spans(string(b)) {
		kind, why := n.check(span)
		kinds[kind]++
		if why != "" {
			t.Errorf("docs/how-it-works.md names %q: %s", span, why)
		}
	}
	for _, kind := range []string{"log line", "function", "script", "path", "test", "setting"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was seen: is this test blind?", kind)
		}
	}
}

func TestHowItWorksNamesAllOfLifecycle(t *testing.T) {
	b, err := os.ReadFile(howItWorks)
	if err != nil {
		t.Fatal(err)
	}
	named := spans(string(b))
	words := lifecycleWords(t)
	for _, word := range words {
		if !slices.Contains(named, word) {
			t.Errorf("docs/how-it-works.md does not name %q of package lifecycle", word)
		}
	}
	for _, want := range []string{"idle", "look up", "PrepareResult", "AwaitUpdate"} { // one of each kind
		if !slices.Contains(words, want) {
			t.Errorf("%q was not found in package lifecycle: is this test blind?", want)
		}
	}
}

// TestNamingRules shows that each rule finds a fault.
func TestNamingRules(t *testing.T) {
	n := namesOf(t)
	for _, tt := range []struct {
		span string
		fine bool
	}{
		{`"Exiting"`, true}, {`"Exiting for good"`, false},
		{"supervisor/runner.go:advance", true}, {"supervisor/runner.go:stride", false}, {"supervisor/nowhere.go", false}, {"supervisor/supervisor.go:Server", true},
		{"once.txtar", true}, {"twice.txtar", false},
		{"test/repository/docs_test.go", true}, {"internal/nowhere/doc.go", false},
		{"TestScenarios", true}, {"TestNothing", false},
		{"AZP_ON_TERM=cancel", true}, {"AZP_ON_TIME", false},
		{"azptend drain", true},
	} {
		if _, why := n.check(tt.span); (why == "") != tt.fine {
			t.Errorf("%s: got %q", tt.span, why)
		}
	}
}

// names are names in the sources, of the kinds that the page uses.
type names struct {
	lines map[string]bool            // log messages
	decls map[string]map[string]bool // functions and types, by file below internal
	tests map[string]bool
}

func namesOf(t *testing.T) names {
	t.Helper()
	n := names{map[string]bool{}, map[string]map[string]bool{}, map[string]bool{}}
	files, err := filepath.Glob("../../internal/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		declared := declaredIn(f)
		if strings.HasSuffix(file, "_test.go") {
			for name := range declared {
				n.tests[name] = true
			}
			continue
		}
		rel, _ := filepath.Rel("../../internal", file)
		n.decls[filepath.ToSlash(rel)] = declared
		ast.Inspect(f, func(node ast.Node) bool { n.noteLine(node); return true })
	}
	return n
}

// noteLine records the message of a call that logs.
func (n names) noteLine(node ast.Node) {
	call, is := node.(*ast.CallExpr)
	if !is {
		return
	}
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log"}, method.Sel.Name) {
		return
	}
	for _, arg := range call.Args {
		if text, is := literal(arg); is {
			n.lines[text] = true
			return // the other arguments are keys and values
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	basic, is := e.(*ast.BasicLit)
	if !is || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

// declaredIn are a file's functions, methods and types.
func declaredIn(f *ast.File) map[string]bool {
	declared := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			declared[d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if typed, is := spec.(*ast.TypeSpec); is {
					declared[typed.Name.Name] = true
				}
			}
		}
	}
	return declared
}

var (
	sourceName  = regexp.MustCompile(`^([a-z]+/[a-z_]+\.go)(?::(\w+))?$`)
	pathName    = regexp.MustCompile(`^(internal|test|docs|cmd)/[\w./-]+$`)
	scriptName  = regexp.MustCompile(`^[\w-]+\.txtar$`)
	testName    = regexp.MustCompile(`^Test[A-Z]\w*$`)
	settingName = regexp.MustCompile(`^(AZP_\w+)(=\w+)?$`)
)

// check returns the kind of a name, "" for one that is not checked, and what is wrong with it.
func (n names) check(span string) (kind, why string) {
	there := func(path string) string {
		if _, err := os.Stat(path); err != nil {
			return "there is no such file"
		}
		return ""
	}
	switch {
	case strings.HasPrefix(span, `"`) && strings.HasSuffix(span, `"`):
		if !n.lines[strings.Trim(span, `"`)] {
			return "log line", "nothing writes that into the log"
		}
		return "log line", ""
	case span == "name.txtar": // the page explains such names with it
		return "", ""
	case scriptName.MatchString(span):
		return "script", there(filepath.Join("../script/testdata", span))
	case pathName.MatchString(span):
		return "path", there(filepath.Join("../..", span))
	case sourceName.MatchString(span):
		m := sourceName.FindStringSubmatch(span)
		declared, is := n.decls[m[1]]
		switch {
		case !is:
			return "function", "there is no such file below internal"
		case m[2] != "" && !declared[m[2]]:
			return "function", "the file has no such function or type"
		}
		return "function", ""
	case testName.MatchString(span):
		if !n.tests[span] {
			return "test", "there is no such test"
		}
		return "test", ""
	case settingName.MatchString(span):
		env := settingName.FindStringSubmatch(span)[1]
		if !slices.ContainsFunc(config.Table, func(row config.Setting) bool { return row.Env == env }) {
			return "setting", "there is no such setting"
		}
		return "setting", ""
	}
	return "", ""
}

// lifecycleWords are the phases and calls that package lifecycle exports, and the
// names of its events and actions.
func lifecycleWords(t *testing.T) []string {
	t.Helper()
	var words []string
	files, _ := filepath.Glob("../../internal/lifecycle/*.go")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.TypeSpec: // type Begin struct{ event }
				if node.Name.IsExported() && node.Name.Name != "Result" && embedsMarker(node) {
					words = append(words, node.Name.Name)
				}
			case *ast.ValueSpec: // Idle Phase = "idle"
				words = append(words, wordOf(node)...)
			}
			return true
		})
	}
	return words
}

// embedsMarker says whether a type is an event or an action.
func embedsMarker(spec *ast.TypeSpec) bool {
	fields, is := spec.Type.(*ast.StructType)
	return is && slices.ContainsFunc(fields.Fields.List, func(f *ast.Field) bool {
		of, is := f.Type.(*ast.Ident)
		return is && len(f.Names) == 0 && slices.Contains([]string{"event", "action", "Result"}, of.Name)
	})
}

func wordOf(spec *ast.ValueSpec) []string {
	kind, is := spec.Type.(*ast.Ident)
	if !is || len(spec.Values) != 1 || kind.Name != "Phase" && kind.Name != "Call" {
		return nil
	}
	if text, is := literal(spec.Values[0]); is && text != "" { // NoCall is not a call
		return []string{text}
	}
	return nil
}
