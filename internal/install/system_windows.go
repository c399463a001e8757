package install

import (
	"io/fs"
	"os"
)

// owner is this process's user: Windows has no such number.
func owner(fs.FileInfo) int { return os.Geteuid() }
