package install

import (
	"os"

	"golang.org/x/sys/unix"
)

// reflink makes to share the blocks of from. Most file systems cannot (ext4,
// overlay), and none can across two.
func reflink(to, from *os.File) error {
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
}

// link gives a file of one open folder a name in another.
func link(from *os.File, to *os.File, name string) error {
	return unix.Linkat(int(from.Fd()), name, int(to.Fd()), name, 0)
}
