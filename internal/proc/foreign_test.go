//go:build linux

package proc

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// adopt finds a process from before the Init, with its descendants, and kills it although
// the Init did not start it.
func adopt(h *host) {
	// There are such children if a shell starts azptend with exec.
	mark := "AZPTEND_TEST=adopted"
	before := exec.Command("/bin/sh", "-c", "sleep 60 & exec sleep 61")
	before.Env = []string{"PATH=/usr/bin:/bin", mark}
	before.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(0, before.Start())
	init := must(NewInit())
	ours := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}, Env: []string{mark}})

	sleeping := func(f Info) bool {
		return strings.Contains(f.Program, "sleep") || strings.Contains(f.Program, "coreutils")
	}
	var found []int
	for len(found) < 2 { // until the shell has executed sleep
		found = nil
		for _, f := range init.Find(sleeping) {
			if slices.Contains(f.Environ(), mark) {
				found = append(found, f.Pid)
			}
		}
	}
	if !slices.Contains(found, before.Process.Pid) || slices.Contains(found, ours.Pid()) {
		h.Errorf("found %v, want %d and not our own %d", found, before.Process.Pid, ours.Pid())
	}

	if _, err := init.Adopt(before.Process.Pid, func(Info) bool { return false }); err == nil {
		h.Errorf("adopted a process that is does not accept")
	}
	s := must(init.Adopt(before.Process.Pid, sleeping))
	if has, _, err := s.HasDescendant("sleep"); !has || err != nil {
		h.Errorf("its descendant is not found")
	}
	select {
	case <-s.Done():
		h.Errorf("Done is closed while it runs")
	default:
	}
	if n := s.KillTree(h.ctx); n < 2 {
		h.Errorf("killed %d, want it and its child", n)
	}
	<-s.Done()
	if err := s.Signal(syscall.SIGINT); err != nil {
		h.Errorf("a signal after its end: %v", err)
	}
	if !alive(ours.Pid()) {
		h.Errorf("our own child was killed too")
	}
	if _, err := init.Adopt(before.Process.Pid, sleeping); err == nil {
		untilOrphans(init, 1)
	}
	must(0, ours.Signal(syscall.SIGKILL))
	<-ours.Done()
	untilOrphans(init, 2)
	init.Close()
}

func init() { hosts["TestAdopt"] = adopt }

func TestAdopt(t *testing.T) { runScene(t, adopt) }

// TestPidReused: a process that has the pid of an ended one is not killed.
func TestPidReused(t *testing.T) {
	other := exec.Command("/bin/sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	pid, ended := other.Process.Pid, make(chan struct{})
	close(ended)

	if victims := victimsOf([]*ForeignProcess{{watched: watched{pid: pid, done: ended}}}, nil); len(victims) > 0 {
		t.Errorf("an adopted process has ended, and %v would be killed: %d has its pid", victims, pid)
	}
	others := &Init{preexisting: map[int]bool{pid: true}} // found only by its group
	if victims := (&Child{init: others, watched: watched{pid: pid, done: ended}}).victims(); len(victims) > 0 {
		t.Errorf("a child has ended, and %v would be killed: %d has its pid", victims, pid)
	}
}

func TestDescends(t *testing.T) {
	// 10 and 20 are roots. 7 and 8 are each other's parent, which a table that is not an
	// atomic snapshot can show.
	parents := map[int]int{2: 1, 10: 1, 11: 10, 12: 11, 13: 12, 20: 2, 21: 20, 30: 2, 31: 30, 7: 8, 8: 7}
	known := map[int]bool{}
	var found []int
	for _, pid := range []int{1, 2, 13, 11, 12, 10, 31, 30, 21, 20, 7, 8} {
		if descends(pid, map[int]bool{10: true, 20: true}, parents, known) {
			found = append(found, pid)
		}
	}
	if want := []int{13, 11, 12, 10, 21, 20}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}
