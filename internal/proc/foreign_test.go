//go:build linux

package proc

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// adopt finds a process that was there before the Init, with what is below it,
// and ends it although it is nobody's child here.
func adopt(h *host) {
	// A shell that has become azptend by exec would have left it such children.
	mark := "AZPTEND_TEST=survivor"
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
	for len(found) < 2 { // the shell becomes a sleep in its own time
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
		h.Errorf("a process is watched that is not the one that was meant")
	}
	s := must(init.Adopt(before.Process.Pid, sleeping))
	if has, _, err := s.HasDescendant("sleep"); !has || err != nil {
		h.Errorf("its descendant is not seen")
	}
	select {
	case <-s.Done():
		h.Errorf("it is said to have ended")
	default:
	}
	if n := s.KillTree(h.ctx); n < 2 {
		h.Errorf("killed %d, want it and its child", n)
	}
	<-s.Done()
	if err := s.Signal(syscall.SIGINT); err != nil {
		h.Errorf("a signal to the dead: %v", err)
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

// A number that the kernel has given to somebody else meanwhile is no reason to
// kill him.
func TestANumberUsedAgain(t *testing.T) {
	stranger := exec.Command("/bin/sleep", "60")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	pid, ended := stranger.Process.Pid, make(chan struct{})
	close(ended)

	if victims := victimsOf([]*ForeignProcess{{watched: watched{pid: pid, done: ended}}}, nil); len(victims) > 0 {
		t.Errorf("a survivor that has ended would have %v killed, for the stranger %d has its number", victims, pid)
	}
	others := &Init{preexisting: map[int]bool{pid: true}} // not ours by birth: found by its group alone
	if victims := (&Child{init: others, watched: watched{pid: pid, done: ended}}).victims(); len(victims) > 0 {
		t.Errorf("a child that has ended would have %v killed, for the stranger %d has its number", victims, pid)
	}
}

func TestDescends(t *testing.T) {
	// 10 and 20 are roots; 7 and 8 seem to be each other's parent, for the table was not
	// read in one moment.
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
