package main

import (
	"flag"
	"os"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are built as for a release: static, and without the race detector.
var programs launch.Programs

var cellsAtOnce = flag.Int("matrix.j", atOnce(), "how many cells are played at once")

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "wrong" { // see wrong_test.go
		os.Exit(beWrong(os.Args[2], os.Args[3], os.Args[4:]))
	}
	flag.Parse()
	os.Exit(launch.WithPrograms("../../..", func(p launch.Programs) int {
		programs = p
		return m.Run()
	}))
}
