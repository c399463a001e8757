package script

import (
	"os"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are what the scripts run, built as they are shipped. The race detector
// would make other programs of them.
var programs launch.Programs

func TestMain(m *testing.M) {
	os.Exit(launch.WithPrograms("../..", func(p launch.Programs) int {
		programs = p
		return m.Run()
	}))
}
