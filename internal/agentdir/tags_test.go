package agentdir_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/agentdir"
)

func TestSystemCapabilities(t *testing.T) {
	got := agentdir.SystemCapabilities("a", "4.273.0", "host", "/azp")
	want := map[string]string{
		"Agent.Name": "a", "Agent.Version": "4.273.0", "Agent.ComputerName": "host", "Agent.HomeDirectory": "/azp", "InteractiveSession": "False",
		"Agent.OS":             map[string]string{"linux": "Linux", "darwin": "Darwin"}[runtime.GOOS],
		"Agent.OSArchitecture": map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH],
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := agentdir.OSDescription(); got == "" || got[0] == '"' || (runtime.GOOS == "linux" && exists("/etc/os-release") && got == "Linux") {
		t.Errorf("the system is %q", got)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
