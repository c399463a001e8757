package agentdir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
)

func TestWork(t *testing.T) {
	dir := t.TempDir()
	d := agentdir.Dir{Root: filepath.Join(dir, "agent")}
	work := filepath.Join(dir, "some", "work")
	if err := d.PrepareWork(work, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(work)); err == nil {
		t.Error("PrepareWork has created something")
	}
	if err := d.PrepareWork(work, true); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(work); err != nil || !info.IsDir() {
		t.Errorf("PrepareWork has not created it: %v", err)
	}
	for _, fine := range []string{"_work", "", work} {
		if err := errors.Join(d.PrepareWork(fine, false), d.PrepareWork(fine, true)); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
	if _, err := os.Lstat(d.Root); err == nil {
		t.Error("a relative path is the agent's to create")
	}
	var unusable *agentdir.DirError
	if err := d.PrepareWork("/proc/work", true); !errors.As(err, &unusable) || !strings.Contains(unusable.Why, "cannot be created in /proc") || !strings.Contains(unusable.Hint, "AZP_WORK") {
		t.Errorf("below /proc: %v", err)
	}
}
