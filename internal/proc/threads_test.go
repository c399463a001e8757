//go:build linux

package proc

import (
	"os"
	"testing"
)

// TestReserveThreads: they are there, and stay.
func TestReserveThreads(t *testing.T) {
	ReserveThreads()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) < reservedThreads {
		t.Errorf("there are %d threads, want %d at least", len(tasks), reservedThreads)
	}
}
