package helm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// definitions is the file to which the schemas of Kubernetes' own kinds refer.
const definitions = "_definitions.json"

const objectMeta = definitions + "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

// writeSchemas writes a JSON schema for each kind of a cluster with this KEDA, under the file names
// that kubeconform expects.
func writeSchemas(t *testing.T, keda string) string {
	t.Helper()
	dir := t.TempDir()
	writeKubernetes(t, dir, filepath.Join(moduleDir(t, kubernetesModule), "api/openapi-spec/swagger.json"))
	for _, pattern := range []string{
		filepath.Join(moduleDir(t, kedaModules[keda]), "config/crd/bases/*.yaml"),
		filepath.Join(moduleDir(t, prometheusModule), "example/prometheus-operator-crd/*monitors.yaml"),
		filepath.Join(moduleDir(t, prometheusModule), "example/prometheus-operator-crd/*_prometheusrules.yaml"),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no CRDs in %s: %v", pattern, err)
		}
		for _, file := range files {
			writeCRD(t, dir, file)
		}
	}
	return dir
}

func writeKubernetes(t *testing.T, dir, swagger string) {
	t.Helper()
	var spec struct {
		Definitions map[string]map[string]any
	}
	readYAML(t, swagger, &spec)
	// Fields that Kubernetes declares as strings, but that may also be numbers.
	either := map[string]any{"oneOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "number"}}}
	spec.Definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = either
	spec.Definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = either
	for name, definition := range spec.Definitions {
		closeObjects(definition)
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			kind := k.(map[string]any)
			writeJSON(t, dir, schemaName(kind["kind"].(string), kind["group"].(string), kind["version"].(string)),
				map[string]any{"$ref": definitions + "#/definitions/" + name})
		}
	}
	writeJSON(t, dir, definitions, map[string]any{"definitions": spec.Definitions})
}

func writeCRD(t *testing.T, dir, file string) {
	t.Helper()
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	readYAML(t, file, &crd)
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		closeObjects(schema)
		schema["properties"].(map[string]any)["metadata"] = map[string]any{"$ref": objectMeta}
		writeJSON(t, dir, schemaName(crd.Spec.Names.Kind, crd.Spec.Group, version.Name), schema)
	}
}

// closeObjects forbids unknown properties at all levels. kubeconform's -strict only does that at
// the top level. A server silently drops unknown fields.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, each := range s {
			closeObjects(each)
		}
	case map[string]any:
		for _, each := range s {
			closeObjects(each)
		}
		_, open := s["additionalProperties"]
		_, unknown := s["x-kubernetes-preserve-unknown-fields"]
		if _, isSchema := s["properties"].(map[string]any); isSchema && !open && !unknown {
			s["additionalProperties"] = false
		}
	}
}

// schemaName is {kind}-{first label of the group}-{version}, without the group for the core group.
func schemaName(kind, group, version string) string {
	parts := []string{kind, version}
	if group != "" {
		first, _, _ := strings.Cut(group, ".")
		parts = []string{kind, first, version}
	}
	return strings.ToLower(strings.Join(parts, "-")) + ".json"
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
}

func writeJSON(t *testing.T, dir, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
