package script

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
func earlierBinary() string { return filepath.Join(filepath.Dir(programs.Azptend), "azptend-earlier") }

// buildEarlier builds that azptend from the repository's history, once. There being
// no such history, as in a shallow clone, is no error.
var buildEarlier = sync.OnceValues(func() (built bool, err error) {
	if exec.Command("git", "-C", "../..", "cat-file", "-e", earlier+"^{commit}").Run() != nil {
		return false, nil
	}
	source, err := os.MkdirTemp("", "azptend-earlier-*")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(source)
	unpack := exec.Command("sh", "-c", `git -C ../.. archive --format=tar -o "$2/source.tar" "$1" && tar -xf "$2/source.tar" -C "$2"`, "sh", earlier, source)
	if out, err := unpack.CombinedOutput(); err != nil {
		return false, fmt.Errorf("cannot get commit %s: %w: %s", earlier, err, out)
	}
	// Paths are trimmed, so that go's cache has most of it from the time before.
	build := exec.Command("go", "build", "-trimpath", "-o", earlierBinary(), "./cmd/azptend")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("cannot build commit %s: %w: %s", earlier, err, out)
	}
	return true, nil
})
