//go:build linux

package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

func TestBelow(t *testing.T) {
	row := func(pid, parent int) process { return process{identity: identity{pid: pid}, parent: parent} }
	table := []process{
		row(1, 0), row(10, 1), row(11, 10), row(12, 11),
		row(20, 1), {identity: identity{pid: 21}, parent: 20, zombie: true}, row(22, 21), row(30, 2),
	}
	for _, tt := range []struct {
		root   int
		except map[int]bool
		want   []int
	}{
		{1, nil, []int{10, 20, 11, 12, 22}},
		{1, map[int]bool{10: true}, []int{20, 22}},
		{10, nil, []int{11, 12}},
		{99, nil, nil},
	} {
		var got []int
		for _, p := range descendantsOf(table, tt.root, tt.except) {
			got = append(got, p.pid)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("below %d but for %v: %v, want %v", tt.root, tt.except, got, tt.want)
		}
	}
}

// A child from before azptend's exec, such as a shell's background process, does not belong
// to the agent. Neither does another child of the Init.
func killTree(h *host) {
	before := exec.Command("/bin/sleep", "60")
	must(0, before.Start())
	init := must(NewInit())
	other := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}})
	r, w := pipe()
	s := testProgram("double")
	s.Extra = []*os.File{w}
	c := start(init, s)
	daemon := pidFrom(r)
	if sid := must(sessionOf(daemon)); sid != daemon {
		h.Errorf("the daemon's session is %d and its pid %d: it did not detach", sid, daemon)
	}

	if n := c.KillTree(h.ctx); n < 2 {
		h.Errorf("killed %d, want the child and the daemon at least", n)
	}
	<-c.Done()
	for name, pid := range map[string]int{"the child": c.Pid(), "the daemon": daemon} {
		if alive(pid) {
			h.Errorf("%s lives", name)
		}
	}
	for name, pid := range map[string]int{"another child": other.Pid(), "an earlier child": before.Process.Pid} {
		if !alive(pid) {
			h.Errorf("%s was killed too", name)
		}
	}
	if n := c.KillTree(h.ctx); n != 0 {
		h.Errorf("killed %d more", n)
	}

	must(0, other.Signal(syscall.SIGKILL))
	<-other.Done()
	must(0, before.Process.Kill())
	untilOrphans(init, 3) // the daemon, the one in between, the earlier one
	init.Close()
}

// sessionOf returns the session a process is in.
func sessionOf(pid int) (int, error) {
	sid, _, e := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	return int(sid), errOf(e)
}

func init() { hosts["TestKillTreeReachesDaemonsAndNobodyElse"] = killTree }

func TestKillTreeReachesDaemonsAndNobodyElse(t *testing.T) { runScene(t, killTree) }

var forkersScene = withInit(func(h *host, init *Init) {
	r, w := pipe()
	s := sh("echo $$ >&3; while :; do sleep 60 3>&- & sleep 60 3>&- & (exec sleep 60 3>&- &) ; done")
	s.Extra = []*os.File{w}
	s.Stderr = nil
	c := start(init, s)
	pidFrom(r)
	c.KillTree(h.ctx)
	if err := h.ctx.Err(); err != nil {
		h.Errorf("what forks without end outlives the kill: %v", err)
	}
	<-c.Done()
	for _, p := range descendantsOf(must(processes()), os.Getpid(), nil) {
		h.Errorf("%d (%s) lives", p.pid, programOf(p.pid))
	}
	init.untilNoZombie()
})

// untilNoZombie waits until the last of the killed was reaped.
func (i *Init) untilNoZombie() {
	for {
		soon := i.nextReap()
		left := slices.ContainsFunc(must(processes()), func(p process) bool { return p.parent == os.Getpid() })
		if !left {
			return
		}
		<-soon
	}
}

func init() { hosts["TestKillTreeReachesWhatForksMeanwhile"] = forkersScene }

func TestKillTreeReachesWhatForksMeanwhile(t *testing.T) { runScene(t, forkersScene) }

// With its context gone already, a KillTree still strikes once.
var killOnceScene = withInit(func(h *host, init *Init) {
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	c := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}})
	c.KillTree(ctx)
	<-c.Done()
	if got := c.Status().Signal; got != syscall.SIGKILL {
		h.Errorf("died of %v", got)
	}
})

func init() { hosts["TestKillTreeStrikesOnceAtLeast"] = killOnceScene }

func TestKillTreeStrikesOnceAtLeast(t *testing.T) { runScene(t, killOnceScene) }

var descendantScene = withInit(func(h *host, init *Init) {
	dir := must(os.MkdirTemp("", "proc-test"))
	defer os.RemoveAll(dir)
	worker := filepath.Join(dir, "Agent.Worker")
	must(0, copyFile(must(exec.LookPath("sleep")), worker))

	r, w := pipe()
	s := sh(fmt.Sprintf("(%s 60 3>&- & echo $! >&3; wait) & wait", worker))
	s.Extra = []*os.File{w}
	c := start(init, s)
	other := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}})
	pid := pidFrom(r)
	awaitProgram(pid, "Agent.Worker")

	has := func(c *Child, name string, want bool) {
		if got, busy, err := c.HasDescendant(name); got != want || busy || err != nil {
			h.Errorf("has %s: %v, busy %v, %v, want %v", name, got, busy, err, want)
		}
	}
	has(c, "Agent.Worker", true)
	has(c, "Agent.Listener", false)
	has(c, "Agent.Work", false)
	has(other, "Agent.Worker", false)
	must(0, os.Remove(worker)) // as an update does, while it runs
	has(c, "Agent.Worker", true)
	must(0, syscall.Kill(pid, syscall.SIGKILL))
	<-c.Done()
	has(c, "Agent.Worker", false)
	c.KillTree(h.ctx)
	aboveASleep := sh("sh -c 'sleep 60; :' & echo $! >&3; wait")
	r, w = pipe()
	aboveASleep.Extra = []*os.File{w}
	d := start(init, aboveASleep)
	pid = pidFrom(r)
	for alive(pid) && len(descendantsOf(must(processes()), pid, nil)) == 0 {
		runtime.Gosched()
	}
	if got, busy, err := d.HasDescendant(filepath.Base(must(filepath.EvalSymlinks("/bin/sh")))); !got || !busy || err != nil {
		h.Errorf("one with a step: %v, busy %v, %v", got, busy, err)
	}
	d.KillTree(h.ctx)
	must(0, other.Signal(syscall.SIGKILL))
	<-other.Done()
	init.untilNoZombie()
})

// awaitProgram waits until a process that was just forked has become program:
// its shell has no other way to tell.
func awaitProgram(pid int, program string) {
	for alive(pid) && programOf(pid) != program {
		runtime.Gosched()
	}
}

// copyFile copies a program that is about to be started. No other test may fork
// while the copy is open for writing: its child would hold the file open until it
// executes, and starting the copy would fail with "text file busy".
func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(to, b, 0o755)
}

func init() { hosts["TestHasDescendant"] = descendantScene }

func TestHasDescendant(t *testing.T) { runScene(t, descendantScene) }
