//go:build unix

package agentdir

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// DiskSpace returns the free bytes and the size of the disk of the work directory, which need
// not exist. Free bytes are those that users without privileges can use.
func (d Dir) DiskSpace(work string) (free, total uint64, err error) {
	dir := work
	if !filepath.IsAbs(work) {
		dir = filepath.Join(d.Root, work)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("cannot see how much space %s has: %w", dir, err)
	}
	return disk.Bavail * uint64(disk.Bsize), disk.Blocks * uint64(disk.Bsize), nil
}
