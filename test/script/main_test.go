package script

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are what the scripts run, built as they are shipped. The race detector
// would make other programs of them.
var programs launch.Programs

func TestMain(m *testing.M) {
	flag.Parse()
	runMoreInParallel()
	os.Exit(launch.WithPrograms("../..", func(p launch.Programs) int {
		programs = p
		return m.Run()
	}))
}

// runMoreInParallel makes the default of -parallel larger: scripts wait most of the
// time.
func runMoreInParallel() {
	parallel := flag.Lookup("test.parallel")
	if parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0)))
	}
}
