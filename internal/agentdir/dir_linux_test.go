package agentdir_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
)

// limited marks the process whose files may not grow.
const limited = "AZPTEND_TEST_LIMITED"

// TestFullDisk: a file can be created, but not written to, as on a full disk. In the test no
// file may grow beyond eight bytes.
func TestFullDisk(t *testing.T) {
	if os.Getenv(limited) == "" {
		// In a process of its own, so that the limit does not apply to go test's log.
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), limited+"=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	key := theKey()
	f := agentdir.Dir{Root: t.TempDir()}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := f.WriteFiles(registration, key)
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); restored != nil {
		t.Fatal(restored)
	}
	isUnfit(t, err, "cannot write .credentials_rsaparams: file too large", "")
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("error is %v", err)
	}
	if entries, _ := os.ReadDir(f.Root); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

// TestReadOnlyDir uses /proc, in which not even root can create files.
func TestReadOnlyDir(t *testing.T) {
	root := "/proc/self"
	err := agentdir.Dir{Root: root}.WriteFiles(registration, theKey())
	isUnfit(t, err, "cannot use the agent directory "+root, "make it writable")
	if left, _ := filepath.Glob(root + "/.azptend-*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
