package script

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// earlier is the commit of an old azptend, with which a pool is shared during an upgrade: the last
// one without an owner record in the agent's directory.
const earlier = "2aed5ba"

// earlierBinary is on the scripts' PATH.
func earlierBinary() string { return filepath.Join(filepath.Dir(programs.Azptend), "azptend-earlier") }

// buildEarlier builds that azptend from the repository's history, once. If the commit does not
// exist, as in a shallow clone, built is false.
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
	// With -trimpath, most of it is in go's build cache.
	build := exec.Command("go", "build", "-trimpath", "-o", earlierBinary(), "./cmd/azptend")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("cannot build commit %s: %w: %s", earlier, err, out)
	}
	return true, nil
})
