package helm

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	lint3 "helm.sh/helm/v3/pkg/lint"
	support3 "helm.sh/helm/v3/pkg/lint/support"
	lint4 "helm.sh/helm/v4/pkg/chart/v2/lint"
	support4 "helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

var update = flag.Bool("update", false, "write the golden files, README.md and values.schema.json anew")

// cases returns the values files by name.
func cases(t *testing.T) map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values: %v", err)
	}
	found := map[string]map[string]any{}
	for _, file := range files {
		values := map[string]any{}
		readYAML(t, file, &values)
		text, err := os.ReadFile(file)
		if err == nil {
			err = strict(string(text))
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".yaml")] = values
	}
	return found
}

func TestGolden(t *testing.T) {
	for name, values := range cases(t) {
		t.Run(name, func(t *testing.T) {
			files, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			got := manifest(files) + "---\n# NOTES.txt\n" + comment(files["NOTES.txt"])
			golden := filepath.Join("testdata/golden", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what the chart makes; go test -update writes it anew, and git diff shows what changed:\n%s", golden, got)
			}
		})
	}
}

// comment turns the notes, which are not YAML, into comments of a golden file.
func comment(text string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return b.String()
}

// TestSchemas checks the chart's output against the schemas of Kubernetes and of the KEDA version
// in the values, or of all of them if they name none.
func TestSchemas(t *testing.T) {
	for keda := range kedaModules {
		v := conform(t, writeSchemas(t, keda))
		t.Run(keda, func(t *testing.T) {
			for name, values := range cases(t) {
				said, _ := dig(values, "keda", "version").(string)
				if said != "" && !strings.HasPrefix(said, keda) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					files, err := render(t, values)
					if err != nil {
						t.Fatal(err)
					}
					judge(t, v, manifest(files))
				})
			}
		})
	}
}

// TestSchemasSayNo checks that the test above can fail, at the top level and deep inside an object.
func TestSchemasSayNo(t *testing.T) {
	v := conform(t, writeSchemas(t, "2.21"))
	files, err := render(t, cases(t)["keda-2.21"])
	if err != nil {
		t.Fatal(err)
	}
	text := files["scaledjob.yaml"]
	for _, wrong := range []struct{ what, old, new string }{
		{"a type", "pollingInterval: 30", "pollingInterval: thirty"},
		{"an unknown field", "pollingInterval: 30", "pollInterval: 30"},
		{"an unknown field far below", "enableServiceLinks: false", "enableServiceLink: false"},
		{"an unknown field of a list's item", "imagePullPolicy:", "pullPolicy:"},
		{"an unknown field of metadata", "  name: agents-azptend\n  labels:", "  name: agents-azptend\n  label:"},
		{"a word that is not in the list", "strategy: gradual", "strategy: slow"},
	} {
		t.Run(wrong.what, func(t *testing.T) {
			changed := strings.Replace(text, wrong.old, wrong.new, 1)
			if changed == text {
				t.Fatalf("%q is not in the ScaledJob", wrong.old)
			}
			if results := v.Validate("scaledjob.yaml", io.NopCloser(strings.NewReader(changed))); results[0].Status != validator.Invalid {
				t.Errorf("status %v, want invalid (%v)", results[0].Status, results[0].Err)
			}
		})
	}
}

func conform(t *testing.T, schemas string) validator.Validator {
	t.Helper()
	v, err := validator.New([]string{schemas + "/{{ .ResourceKind }}{{ .KindSuffix }}.json"}, validator.Opts{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func judge(t *testing.T, v validator.Validator, text string) {
	t.Helper()
	seen := 0
	for _, result := range v.Validate("all.yaml", io.NopCloser(bytes.NewReader([]byte(text)))) {
		if result.Status == validator.Empty {
			continue
		}
		seen++
		if result.Status != validator.Valid {
			signature, _ := result.Resource.Signature()
			t.Errorf("%+v: %v", signature, result.Err)
		}
	}
	if seen < 2 {
		t.Errorf("only %d resources were looked at", seen)
	}
}

// TestLint runs helm lint --strict, of Helm 3 and of Helm 4.
func TestLint(t *testing.T) {
	for name, values := range cases(t) {
		t.Run(name, func(t *testing.T) {
			for _, m := range lint3.All(chartDir, values, "ci", true).Messages {
				if m.Severity >= support3.WarningSev {
					t.Error("Helm 3:", m)
				}
			}
			for _, m := range lint4.RunAll(chartDir, values, "ci").Messages {
				if m.Severity >= support4.WarningSev {
					t.Error("Helm 4:", m)
				}
			}
		})
	}
}

func dig(at any, path ...string) any {
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	return at
}
