package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are azptend and azptend-lab, and vandalProgram is this program. All are built
// here without the race detector, which needs more memory than a cell has.
var (
	programs      launch.Programs
	vandalProgram string
)

var cellsAtOnce = flag.Int("vandal.j", atOnce(), "how many cells are played at once")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(launch.WithPrograms("../../..", func(p launch.Programs) int {
		programs, vandalProgram = p, filepath.Join(filepath.Dir(p.Azptend), "vandal")
		if err := launch.GoBuild(".", vandalProgram); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}))
}
