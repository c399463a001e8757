package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// inventory counts what exists between runs, when most of it should be gone.
type inventory struct {
	Goroutines  int // of the emulator's process
	Descriptors int // of the emulator's process
	Processes   int // whose program is in an agent's directory
	Agents      int // in all pools
	Sessions    int
	Files       int // in the agents' directories, except the agents' own logs and work
}

func takeInventory(e *emulator.Emulator, dir string, quiesce func()) inventory {
	quiesce()
	fds, _ := os.ReadDir("/proc/self/fd")
	i := inventory{
		Goroutines: runtime.NumGoroutine(), Descriptors: len(fds),
		Processes: len(process.Running(dir)), Files: files(dir),
	}
	for _, p := range e.State().Pools {
		i.Agents += len(p.Agents)
		for _, a := range p.Agents {
			if a.Session != nil {
				i.Sessions++
			}
		}
	}
	return i
}

// files counts the files that azptend may have left.
func files(dir string) int {
	n := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		if name := d.Name(); d.IsDir() && (name == "_diag" || name == "_work") {
			return filepath.SkipDir
		}
		if d.Name() != "go-on" {
			n++
		}
		return nil
	})
	return n
}

// increases lists what there is more of; "" means nothing.
func (i inventory) increases(since inventory) string {
	var more []string
	for name, n := range map[string]int{
		"goroutines": i.Goroutines - since.Goroutines, "descriptors": i.Descriptors - since.Descriptors,
		"processes": i.Processes - since.Processes, "agents": i.Agents - since.Agents,
		"sessions": i.Sessions - since.Sessions, "files": i.Files - since.Files,
	} {
		if n > 0 {
			more = append(more, fmt.Sprintf("%d %s", n, name))
		}
	}
	return strings.Join(more, ", ")
}
