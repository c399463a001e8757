package helm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	yaml3 "go.yaml.in/yaml/v3"
	util3 "helm.sh/helm/v3/pkg/chartutil"
)

// value is one value of values.yaml with its comment. A value that contains others has no comment.
type value struct {
	name, group, description string
	is                       any    // the default
	example                  string // as YAML; "" if there is none
	schema                   map[string]any
}

// documented returns the values in the order of values.yaml.
func documented(t *testing.T) []value {
	t.Helper()
	b, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml3.Node
	if err := yaml3.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	r := reader{t: t, lines: strings.Split(string(b), "\n"), types: map[string]map[string]any{}}
	readYAML(t, "testdata/schema-types.yaml", &r.types)
	r.read("", root.Content[0])
	if len(r.found) < 100 {
		t.Fatalf("only %d values were found", len(r.found))
	}
	return r.found
}

// reader reads values.yaml: the values from the parsed file, the comments from its lines.
type reader struct {
	t     *testing.T
	lines []string
	types map[string]map[string]any // testdata/schema-types.yaml
	found []value
}

func (r *reader) read(above string, node *yaml3.Node) {
	for i := 0; i < len(node.Content); i += 2 {
		key, is := node.Content[i], node.Content[i+1]
		first := key.Line - 1 // of the comment above the key
		for first > 0 && strings.HasPrefix(strings.TrimSpace(r.lines[first-1]), "#") {
			first--
		}
		if comment := r.lines[first : key.Line-1]; len(comment) > 0 {
			r.found = append(r.found, r.value(above+key.Value, comment, first, is))
		} else {
			r.read(above+key.Value+".", is)
		}
	}
}

func (r *reader) value(name string, comment []string, first int, node *yaml3.Node) value {
	v := value{name: name, schema: map[string]any{}}
	for _, line := range r.lines[:first] {
		if group, found := strings.CutPrefix(line, "## "); found {
			v.group = group
		}
	}
	if err := node.Decode(&v.is); err != nil {
		r.t.Fatal(err)
	}
	if kind := typeOf(v.is); kind != "" {
		v.schema["type"] = kind
	}
	var words []string
	for _, line := range comment {
		line = strings.TrimPrefix(strings.TrimSpace(line), "# ")
		if example, found := strings.CutPrefix(line, "Example: "); found {
			v.example = example
		} else if annotation, found := strings.CutPrefix(line, "@schema "); found {
			maps.Copy(v.schema, r.annotated(name, annotation))
		} else {
			words = append(words, line)
		}
	}
	v.description = strings.Join(words, " ")
	v.schema["description"] = v.description
	if v.example != "" {
		v.schema["examples"] = []any{r.parse(name, v.example)}
	}
	return v
}

func typeOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case int:
		return "integer"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return ""
}

// annotated returns the schema after "@schema": a type's name, or the schema itself.
func (r *reader) annotated(name, annotation string) map[string]any {
	switch said := r.parse(name, annotation).(type) {
	case map[string]any:
		return said
	case string:
		if found, ok := r.types[said]; ok {
			return found
		}
	}
	r.t.Fatalf("%s: no type has the name %q", name, annotation)
	return nil
}

func (r *reader) parse(name, text string) (v any) {
	if err := yaml3.Unmarshal([]byte(text), &v); err != nil {
		r.t.Fatalf("%s: %q: %v", name, text, err)
	}
	return v
}

// generatedSchema is values.schema.json. It allows no other values, so a typing error is refused.
func generatedSchema(t *testing.T, all []value) string {
	t.Helper()
	group := func() map[string]any {
		return map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
	}
	root := group()
	root["$schema"], root["title"] = "http://json-schema.org/draft-07/schema#", "Values of the chart azptend"
	for _, v := range all {
		in := root
		path := strings.Split(v.name, ".")
		for _, name := range path[:len(path)-1] {
			properties := in["properties"].(map[string]any)
			if properties[name] == nil {
				properties[name] = group()
			}
			in = properties[name].(map[string]any)
		}
		in["properties"].(map[string]any)[path[len(path)-1]] = v.schema
	}
	root["properties"].(map[string]any)["global"] = map[string]any{"type": "object", "description": "Helm's own value, for charts that contain this one."}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// generatedTables are the tables of README.md, one for each group.
func generatedTables(t *testing.T, all []value) string {
	t.Helper()
	var b strings.Builder
	group := ""
	for _, v := range all {
		if v.group != group {
			group = v.group
			fmt.Fprintf(&b, "\n### %s\n\n| value | default | |\n|---|---|---|\n", group)
		}
		is, err := json.Marshal(v.is)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(v.description, "|", `\|`)
		if v.example != "" {
			text += fmt.Sprintf(" Example: `%s`", strings.ReplaceAll(v.example, "|", `\|`))
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v.name, is, text)
	}
	return b.String()
}

// TestGenerated: README.md and values.schema.json are what values.yaml says.
func TestGenerated(t *testing.T) {
	all := documented(t)
	isGenerated(t, chartDir+"/values.schema.json", generatedSchema(t, all))
	file := chartDir + "/README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`(?s)(<!-- values: [^\n]*-->\n).*(\n<!-- /values -->)`)
	if !marked.Match(readme) {
		t.Fatalf("%s has no place for the values", file)
	}
	isGenerated(t, file, marked.ReplaceAllString(string(readme), "${1}"+strings.ReplaceAll(generatedTables(t, all), "$", "$$")+"${2}"))
}

// isGenerated checks a file, or writes it with -update.
func isGenerated(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what it is made from: go test . -update writes it", file)
	}
}

// TestEveryValueIsDescribed: each value has a group and a description, and an example unless its
// default or its type shows what it can be.
func TestEveryValueIsDescribed(t *testing.T) {
	for _, v := range documented(t) {
		if v.group == "" || v.description == "" {
			t.Errorf("%s has no group, or no description", v.name)
		}
		_, words := v.schema["enum"]
		empty := strings.Contains(`"" null {} []`, fmt.Sprint(jsonOf(t, v.is)))
		if is := fmt.Sprint(v.schema["type"]); v.example == "" && empty && !words && !strings.Contains(is, "boolean") {
			t.Errorf("%s has no example", v.name)
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExamples: the schema accepts each example.
func TestExamples(t *testing.T) {
	c := loadChart(t)
	for _, v := range documented(t) {
		if v.example == "" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			values := map[string]any{}
			in, path := values, strings.Split(v.name, ".")
			for _, name := range path[:len(path)-1] {
				in[name] = map[string]any{}
				in = in[name].(map[string]any)
			}
			in[path[len(path)-1]] = v.schema["examples"].([]any)[0]
			if _, err := util3.ToRenderValues(c, values, util3.ReleaseOptions{}, capabilities(t)); err != nil {
				t.Error(err)
			}
		})
	}
}
