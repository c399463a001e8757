//go:build unix && !linux

package install

import (
	"errors"
	"os"
	"path/filepath"
)

func reflink(_, _ *os.File) error { return errors.ErrUnsupported }

func link(from *os.File, to *os.File, name string) error {
	return os.Link(filepath.Join(from.Name(), name), filepath.Join(to.Name(), name))
}
