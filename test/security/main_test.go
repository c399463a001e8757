package security

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs and thief (test/security/thief) are built as they are shipped, without the race
// detector.
var (
	programs launch.Programs
	thief    string
)

// timeout limits each wait. Only a test that fails reaches it.
const timeout = 60 * time.Second

// scale divides the protocol's long times. azptend's own times are not scaled.
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
