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

// limited marks the process that may write next to nothing.
const limited = "AZPTEND_TEST_LIMITED"

// A file system that takes the name of a file and not its content, as a full one
// does: no file may grow beyond eight bytes.
func TestFullDisk(t *testing.T) {
	if os.Getenv(limited) == "" {
		// In a process of its own: go test writes its own log when it likes, and
		// must not be the one that finds no room.
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

// As root nothing is read-only but a file system that is: /proc takes no file from
// anybody.
func TestReadOnlyDir(t *testing.T) {
	root := "/proc/self"
	err := agentdir.Dir{Root: root}.WriteFiles(registration, theKey())
	isUnfit(t, err, "cannot use the agent directory "+root, "make it writable")
	if left, _ := filepath.Glob(root + "/.azptend-*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
