package security

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs and thief (test/security/thief) are built as they are shipped. The race
// detector would make other programs of them.
var (
	programs launch.Programs
	thief    string
)

// timeout bounds each wait. It only matters to a test that fails.
const timeout = 60 * time.Second

// scale shrinks the slow times of the protocol, not of azptend.
const scale = 20

func TestMain(m *testing.M) {
	os.Exit(launch.WithPrograms("../..", func(p launch.Programs) int {
		programs, thief = p, filepath.Join(filepath.Dir(p.Azptend), "thief")
		if err := launch.GoBuild("thief", thief); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
