package script

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are the programs that the scripts run, built like the released ones, without the race
// detector.
var programs launch.Programs

func TestMain(m *testing.M) {
	flag.Parse()
	runMoreInParallel()
	os.Exit(launch.WithPrograms("../..", func(p launch.Programs) int {
		programs = p
		return m.Run()
	}))
}

// runMoreInParallel raises the default of -parallel, because scripts wait most of the time.
func runMoreInParallel() {
	parallel := flag.Lookup("test.parallel")
	if parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0)))
	}
}
