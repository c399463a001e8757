// Package fault builds azptend with a planted fault: a small edit of its source, made with a
// source overlay, so the product needs no switch for it. A test that passes with the fault
// proves nothing.
package fault

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/test/internal/launch"
)

// Fault is azptend without one of its guards.
type Fault struct {
	Guard string // the guard that is removed
	edits []Edit
}

// New is a fault with these edits.
func New(guard string, edits ...Edit) Fault { return Fault{guard, edits} }

// Edit replaces a text that must occur in a file exactly once.
type Edit struct{ file, from, to string }

// Replace is an edit of a file of the module.
func Replace(file, from, to string) Edit { return Edit{file, from, to} }

// Overlay writes the file for `go build -overlay` to a directory, and returns its path. It fails
// if the source does not have the text that the fault replaces.
func (f Fault) Overlay(module, dir string) (string, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return "", err
	}
	sources := map[string]string{}
	for _, e := range f.edits {
		path := filepath.Join(module, filepath.FromSlash(e.file))
		text, known := sources[path]
		if !known {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("the fault %q: %w", f.Guard, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.from); n != 1 {
			return "", fmt.Errorf("the fault %q no longer fits: %s has this text %d times, not once:\n%s", f.Guard, e.file, n, e.from)
		}
		sources[path] = strings.Replace(text, e.from, e.to, 1)
	}
	replace := map[string]string{}
	for path, text := range sources {
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o644)
}

// Build builds azptend with the fault.
func (f Fault) Build(module, binary string) error {
	dir, err := os.MkdirTemp("", "azptend-fault-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := f.Overlay(module, dir)
	if err != nil {
		return err
	}
	return launch.GoBuild(filepath.Join(module, "cmd/azptend"), binary, "-overlay", overlay)
}
