//go:build unix

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestOneLifeAFolder(t *testing.T) {
	f := Folder{Root: t.TempDir()}
	release, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	var unfit *UnfitError
	if _, err := f.Lock(); !errors.As(err, &unfit) || unfit.Hint == "" {
		t.Errorf("a second life in the same folder: %v", err)
	}
	other, err := Folder{Root: t.TempDir()}.Lock()
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
	if _, err := (Folder{Root: filepath.Join(f.Root, "missing")}).Lock(); err != nil {
		t.Errorf("a folder that is not there is not for Lock to explain: %v", err)
	}
}
