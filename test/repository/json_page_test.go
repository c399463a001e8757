package repository

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// jsonOutputs are the types that `azptend COMMAND --json` prints, each as a type of
// a package.
var jsonOutputs = []struct{ command, pkg, name, about string }{
	{"azptend agents --json", "internal/cli", "agentRow", "A list of these. With `--watch`, one object per line for each change, with the two keys of the next table besides."},
	{"azptend agents --watch --json", "internal/cli", "change", ""},
	{"azptend agents disable --json, azptend agents enable --json", "internal/cli", "switched", "A list of these."},
	{"azptend doctor --json", "internal/cli", "reportJSON", ""},
	{"azptend healthcheck --json, and /status at AZP_HEALTH_ADDR", "internal/control", "Health", ""},
	{"azptend placeholder show --json", "internal/cli", "placeholderRow", ""},
	{"azptend prune --json", "internal/cli", "pruneReport", ""},
	{"azptend selftest --json", "internal/cli", "selftestDocument", ""},
	{"azptend setup --json", "internal/cli", "setupDocument", ""},
	{"azptend token --json", "internal/cli", "tokenInfo", ""},
	{"azptend version --json", "internal/cli", "buildInfo", ""},
}

const jsonPage = "../../docs/json.md"

// TestJSONPage compares docs/json.md with the types that the commands print and the comments of their
// fields. With -update it writes the page's tables.
func TestJSONPage(t *testing.T) {
	schema := loadSchema(t)
	var tables strings.Builder
	for _, output := range jsonOutputs {
		fmt.Fprintf(&tables, "\n## %s\n\n", output.command)
		if output.about != "" {
			fmt.Fprintf(&tables, "%s\n\n", output.about)
		}
		tables.WriteString("| key | type | |\n|---|---|---|\n")
		for _, row := range schema.rows(t, schema.find(t, output.pkg, output.name), "", output.name == "change") {
			fmt.Fprintln(&tables, row)
		}
	}
	holdBlock(t, jsonPage, "<!-- json: written by", "<!-- end of json -->", tables.String())
}

// holdBlock compares the text of a page between the line that begins with start and the line end. With
// -update it replaces the text.
func holdBlock(t *testing.T, page, start, end, want string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), start)
	line, rest, _ := strings.Cut(rest, "\n")
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no block from %q to %q", page, start, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the program has; run this test with -update. It has\n%s\nwant\n%s", page, got, want)
	}
	if err := os.WriteFile(page, []byte(before+start+line+"\n"+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// schema has the product's types and the comments of their fields, for the tables of JSON keys.
type schema struct {
	loaded   map[string]*packages.Package
	comments map[token.Pos]string
	listed   map[string]bool // values that are in a table already
}

func loadSchema(t *testing.T) schema {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir:  "../..",
	}, "./internal/...")
	if err != nil {
		t.Fatal(err)
	}
	s := schema{map[string]*packages.Package{}, map[token.Pos]string{}, map[string]bool{}}
	for _, p := range loaded {
		s.loaded[strings.TrimPrefix(p.PkgPath, module)] = p
		for _, file := range p.Syntax {
			ast.Inspect(file, func(n ast.Node) bool {
				if f, is := n.(*ast.Field); is {
					for _, name := range f.Names {
						s.comments[name.Pos()] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
					}
				}
				return true
			})
		}
	}
	return s
}

// find returns a type by name, also one that is declared in a function.
func (s schema) find(t *testing.T, pkg, name string) types.Type {
	t.Helper()
	if p := s.loaded[pkg]; p != nil {
		for _, object := range p.TypesInfo.Defs {
			if is, ok := object.(*types.TypeName); ok && is.Name() == name {
				return is.Type()
			}
		}
	}
	t.Fatalf("there is no type %s.%s", pkg, name)
	return nil
}

// rows are the rows of a struct's keys, and below each those of its parts.
func (s schema) rows(t *testing.T, of types.Type, below string, skipEmbedded bool) []string {
	t.Helper()
	var rows []string
	fields := of.Underlying().(*types.Struct)
	for i := range fields.NumFields() {
		field := fields.Field(i)
		key, options, _ := strings.Cut(reflect.StructTag(fields.Tag(i)).Get("json"), ",")
		switch {
		case field.Embedded() && key == "":
			if !skipEmbedded {
				rows = append(rows, s.rows(t, field.Type(), below, false)...)
			}
			continue
		case !field.Exported() || key == "-":
			continue
		}
		about := s.comments[field.Pos()]
		if about == "" {
			t.Errorf("%v.%s has no comment, which docs/json.md needs", of, field.Name())
		}
		if strings.Contains(options, "omitempty") {
			about += ". Optional"
		}
		word, part, values := s.typeWord(field.Type())
		if list := strings.Join(values, ", "); list != "" && !s.listed[list] {
			s.listed[list] = true // list them only once
			about += ". Values: " + list
		}
		rows = append(rows, fmt.Sprintf("| `%s%s` | %s | %s |", below, key, word, strings.ReplaceAll(about, "|", `\|`)))
		if part != nil && part != of {
			suffix := "."
			if strings.HasPrefix(word, "list") {
				suffix = "[]."
			}
			rows = append(rows, s.rows(t, part, below+key+suffix, false)...)
		}
	}
	return rows
}

// typeWord returns the JSON type, the struct in it, and its possible values.
func (s schema) typeWord(of types.Type) (word string, part types.Type, values []string) {
	switch is := of.(type) {
	case *types.Pointer:
		return s.typeWord(is.Elem())
	case *types.Slice:
		word, part, values = s.typeWord(is.Elem())
		return "list of " + word, part, values
	case *types.Map:
		return "object", nil, nil
	case *types.Named:
		if is.Obj().Pkg() != nil && is.Obj().Pkg().Path() == "time" && is.Obj().Name() == "Time" {
			return "time, RFC 3339", nil, nil
		}
		if _, isStruct := is.Underlying().(*types.Struct); isStruct {
			return "object", is, nil
		}
		word, _, _ = s.typeWord(is.Underlying())
		if is.Obj().Pkg() != nil {
			scope := is.Obj().Pkg().Scope()
			for _, name := range scope.Names() {
				if c, isConst := scope.Lookup(name).(*types.Const); isConst && types.Identical(c.Type(), is) && c.Val().Kind() == constant.String {
					values = append(values, "`"+constant.StringVal(c.Val())+"`")
				}
			}
		}
		slices.Sort(values)
		return word, nil, values
	case *types.Struct:
		return "object", is, nil
	case *types.Basic:
		switch {
		case is.Info()&types.IsInteger != 0:
			return "int", nil, nil
		case is.Info()&types.IsBoolean != 0:
			return "bool", nil, nil
		}
		return "string", nil, nil
	}
	return of.String(), nil, nil
}
