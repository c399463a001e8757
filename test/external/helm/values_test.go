package helm

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	yaml3 "go.yaml.in/yaml/v3"
)

// value is one value of values.yaml with its comment. A value that contains others has no comment.
type value struct{ name, said, is string }

// values returns the documented values, in the order of values.yaml.
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
	// The first comment is about the file, not about the first value.
	found := leaves(t, "", root.Content[0])
	if len(found) < 100 {
		t.Fatalf("only %d values were found", len(found))
	}
	return found
}

func leaves(t *testing.T, above string, node *yaml3.Node) []value {
	t.Helper()
	var found []value
	for i := 0; i < len(node.Content); i += 2 {
		key, is := node.Content[i], node.Content[i+1]
		name := above + key.Value
		if key.HeadComment == "" && is.Kind == yaml3.MappingNode && len(is.Content) > 0 {
			found = append(found, leaves(t, name+".", is)...)
			continue
		}
		found = append(found, value{name, plain(key.HeadComment), asJSON(t, is)})
	}
	return found
}

// plain returns the last paragraph of a comment.
func plain(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for _, line := range strings.Split(paragraphs[len(paragraphs)-1], "\n") {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.Join(words, " ")
}

func asJSON(t *testing.T, node *yaml3.Node) string {
	t.Helper()
	var v any
	err := node.Decode(&v)
	b, jsonErr := json.Marshal(v)
	if err != nil || jsonErr != nil {
		t.Fatal(err, jsonErr)
	}
	return string(b)
}

// schema holds the parts of values.schema.json that the test checks.
type schema struct {
	Description          string
	Properties           map[string]schema
	AdditionalProperties any
}

// TestEveryValueIsDescribed: values.yaml and its schema have the same values with the same
// descriptions, and the schema allows nothing else.
func TestEveryValueIsDescribed(t *testing.T) {
	var root schema
	readYAML(t, chartDir+"/values.schema.json", &root)
	described := map[string]string{}
	describe(t, "", root, described)
	for _, v := range documented(t) {
		said, there := described[v.name]
		switch {
		case v.said == "":
			t.Errorf("nothing is said of %s in values.yaml", v.name)
		case !there:
			t.Errorf("%s is not in the schema", v.name)
		case said != v.said:
			t.Errorf("of %s the schema says %q and values.yaml %q", v.name, said, v.said)
		}
		delete(described, v.name)
	}
	delete(described, "global") // Helm's own value
	for name := range described {
		t.Errorf("%s is in the schema and not in values.yaml", name)
	}
}

func describe(t *testing.T, above string, s schema, into map[string]string) {
	t.Helper()
	if s.AdditionalProperties != false {
		t.Errorf("the schema allows unknown values in %q", above)
	}
	for key, property := range s.Properties {
		if property.Description == "" {
			describe(t, above+key+".", property, into)
			continue
		}
		into[above+key] = property.Description
	}
}

// TestReadmesTable: the chart's README has a row for each value.
func TestReadmesTable(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | |\n|---|---|---|\n")
	for _, v := range documented(t) {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", v.name, v.is, strings.ReplaceAll(v.said, "|", `\|`))
	}
	file := chartDir + "/README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`(?s)(<!-- values: [^\n]*-->\n).*(\n<!-- /values -->)`)
	if !marked.Match(readme) {
		t.Fatalf("%s has no place for the table", file)
	}
	want := marked.ReplaceAllString(string(readme), "${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(readme) != want {
		t.Errorf("%s has not the values of values.yaml: go test -update writes them", file)
	}
}
