//go:build linux

package proc

import (
	"os"
	"testing"
)

// TestReserveThreads: the threads exist afterwards, and more for more agents.
func TestReserveThreads(t *testing.T) {
	for _, agents := range []int{1, 5} {
		must(0, ReserveThreads(agents, nil))
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		if want := maxGoThreads + threadsPerAgent*agents; len(tasks) < want {
			t.Errorf("there are %d threads for %d agents, want %d at least", len(tasks), agents, want)
		}
	}
}
