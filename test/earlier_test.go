package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// earlier is the commit of the azptend that pools are shared with during an upgrade:
// the last one that kept no record of its agent in the agent's folder.
const earlier = "2aed5ba"

// earlierBinary is on the scripts' PATH.
func earlierBinary() string { return filepath.Join(filepath.Dir(binary), "azptend-earlier") }

// buildEarlier builds that azptend from the repository's history, once. It fails
// where the history is not there, as in a shallow clone.
var buildEarlier = sync.OnceValue(func() error {
	source, err := os.MkdirTemp("", "azptend-earlier-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(source)
	if out, err := exec.Command("sh", "-c", `git archive "$1" | tar -x -C "$2"`, "sh", earlier, source).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot get commit %s: %w: %s", earlier, err, out)
	}
	// Paths are trimmed, so that go's cache has most of it from the time before.
	build := exec.Command("go", "build", "-trimpath", "-o", earlierBinary(), "./cmd/azptend")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build commit %s: %w: %s", earlier, err, out)
	}
	return nil
})
