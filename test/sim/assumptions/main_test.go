//go:build linux

package assumptions

import (
	"os"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are built as they are shipped, without the race detector.
var programs launch.Programs

func TestMain(m *testing.M) {
	os.Exit(launch.WithPrograms("../../..", func(p launch.Programs) int {
		programs = p
		return m.Run()
	}))
}
