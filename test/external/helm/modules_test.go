package helm

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// The schemas come from the modules of their authors. These modules are only downloaded, and
// nothing of them is compiled.
const (
	kubernetesVersion = "1.36.3"
	kubernetesModule  = "k8s.io/kubernetes@v" + kubernetesVersion
	prometheusModule  = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// kedaModules are the KEDA modules that the chart supports, by the value of keda.version.
var kedaModules = map[string]string{
	"2.19": "github.com/kedacore/keda/v2@v2.19.0",
	"2.20": "github.com/kedacore/keda/v2@v2.20.2",
	"2.21": "github.com/kedacore/keda/v2@v2.21.0",
}

// moduleDir returns a module's directory in Go's module cache, and downloads the module if it is
// missing.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // in an empty directory, so that no go.mod changes
	out, err := cmd.Output()
	var said struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &said); jsonErr != nil || said.Error != "" || said.Dir == "" {
		t.Fatalf("go mod download %s: %v: %s", module, err, said.Error)
	}
	return said.Dir
}
