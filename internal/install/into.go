//go:build unix

package install

import (
	"context"
	"fmt"
	"os"

	"github.com/azptend/azptend/internal/agentdir"
)

// InstallInto chooses the package and installs it into a directory, which it creates and
// locks: no other azptend may use it meanwhile. Errors are those of Choose and Install.
func (s Source) InstallInto(ctx context.Context, dir string, onProgress func(Progress)) (Package, Result, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Package{}, Result{}, fmt.Errorf("cannot create the agent's directory: %w", err)
	}
	release, err := agentdir.Dir{Root: dir}.Lock()
	if err != nil {
		return Package{}, Result{}, err
	}
	defer release()
	chosen, err := s.Choose(ctx)
	if err != nil {
		return Package{}, Result{}, err
	}
	s.Log.Info("Installing the agent package", "package", chosen.Kind, "platform", chosen.Platform, "version", chosen.Version,
		"directory", dir, "from", chosen.URL+s.File)
	done, err := Install(ctx, Options{Dir: dir, Package: chosen, File: s.File, Get: s.get, OnProgress: onProgress})
	return chosen, done, err
}
