package install

import (
	"os"
	"path/filepath"
)

// Platform is the agent's word for this machine (agent-protocol.md 8), "" where
// there is no agent for it. Root is where the machine's files are: "/".
func Platform(goos, goarch, root string) string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64", "arm": "arm"}[goarch]
	switch {
	case arch == "":
		return ""
	case goos == "darwin" && arch != "arm":
		return "osx-" + arch
	case goos != "linux":
		return ""
	case isMusl(root):
		if arch == "arm" {
			return ""
		}
		return "linux-musl-" + arch
	}
	return "linux-" + arch
}

// isMusl says that programs here are linked with musl: its loader is there, and
// glibc's is not. A glibc machine may have musl beside it, and Alpine's gcompat
// puts a file of glibc's name in glibc's place as a link to itself.
func isMusl(root string) bool {
	musl, _ := filepath.Glob(filepath.Join(root, "lib/ld-musl-*.so.1"))
	if len(musl) == 0 {
		return false
	}
	for _, loader := range []string{"lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1", "lib/ld-linux-armhf.so.3"} {
		if _, err := os.Stat(filepath.Join(root, loader)); err == nil {
			return isGcompat(root)
		}
	}
	return true
}

// isGcompat says that glibc's loader is Alpine's stand-in for it.
func isGcompat(root string) bool {
	found, _ := filepath.Glob(filepath.Join(root, "lib/libgcompat.so*"))
	return len(found) > 0
}
