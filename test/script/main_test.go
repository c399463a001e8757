package script

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are the programs that the scripts run, built like the released ones, without the race
// detector.
var programs launch.Programs

// otherBinary is for a script that is to fail with an azptend that has the fault.
var otherBinary = flag.String("azptend", "", "run the scripts with this `binary`")

func TestMain(m *testing.M) {
	flag.Parse()
	runMoreInParallel()
	os.Exit(launch.WithPrograms("../..", func(p launch.Programs) int {
		programs = p
		if *otherBinary != "" {
			err := os.Remove(p.Azptend)
			if err == nil {
				err = os.Symlink(*otherBinary, p.Azptend)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
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
