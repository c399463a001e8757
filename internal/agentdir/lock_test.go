//go:build unix

package agentdir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	f := Dir{Root: t.TempDir()}
	release, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	var unfit *DirError
	if _, err := f.Lock(); !errors.As(err, &unfit) || unfit.Hint == "" {
		t.Errorf("a second life in the same folder: %v", err)
	}
	other, err := Dir{Root: t.TempDir()}.Lock()
	if err != nil {
		t.Errorf("a life in another folder: %v", err)
	} else {
		other()
	}
	release()
	again, err := f.Lock()
	if err != nil {
		t.Fatalf("the next life in the folder: %v", err)
	}
	again()
	if left, _ := os.ReadDir(f.Root); len(left) > 0 {
		t.Errorf("the lock left %v", left)
	}
	if _, err := (Dir{Root: filepath.Join(f.Root, "missing")}).Lock(); err != nil {
		t.Errorf("a folder that is not there is not for Lock to explain: %v", err)
	}
}

// TestLockLogs: if two azptends use one directory of logs, the second one notices. A directory
// of logs below the agent's own is not locked.
func TestLockLogs(t *testing.T) {
	logs := filepath.Join(t.TempDir(), "logs")
	one, two := Dir{Root: t.TempDir(), LogDir: logs}, Dir{Root: t.TempDir(), LogDir: logs}
	release, shared := one.LockLogs()
	if shared {
		t.Error("the first life's logs are another's")
	}
	if _, shared := two.LockLogs(); !shared {
		t.Error("nobody said that the second life's logs are the first one's too")
	}
	release()
	release, shared = two.LockLogs()
	if shared {
		t.Error("the logs of a life that has ended are another's")
	}
	release()

	for name, f := range map[string]Dir{"in _diag": {Root: one.Root}, "in the root": {Root: one.Root, LogDir: one.Root}} {
		release, err := f.Lock()
		if err != nil {
			t.Fatal(err)
		}
		if _, shared := f.LockLogs(); shared {
			t.Errorf("logs %s are another's", name)
		}
		release()
	}
}
