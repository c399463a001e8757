//go:build linux

package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A loop around wait4(-1) beside os/exec lost 46 to 55 of these 400 statuses. Without a
// reaper there were 400 zombies.
var reapsScene = withInit(func(h *host, init *Init) {
	const children, atOnce = 400, 8
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range children {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			want := i % 200
			// The inner shell may exit before or after its parent. The Init reaps it in both cases.
			c, err := init.Start(context.Background(), sh(fmt.Sprintf("exec 2>/dev/null; (:; exit 99) & exit %d", want)))
			if err != nil {
				h.Errorf("child %d: %v", i, err)
				return
			}
			<-c.Done()
			if got := c.Status(); got != (Status{Code: want}) {
				h.Errorf("child %d: %v, want exit code %d", i, got, want)
			}
		}()
	}
	wg.Wait()
	untilOrphans(init, children)
	if n := init.orphanCount(); n != children {
		h.Errorf("%d orphans were reaped, want %d", n, children)
	}
})

func init() { hosts["TestEveryStatusArrivesAndNoZombieStays"] = reapsScene }

func TestEveryStatusArrivesAndNoZombieStays(t *testing.T) { runScene(t, reapsScene) }

// A status must not be lost if a child ends before Start returns.
var failsToStartScene = withInit(func(h *host, init *Init) {
	for path, want := range map[string]error{
		"/nowhere/at/all": syscall.ENOENT,
		"/etc/passwd":     syscall.EACCES,
		"/":               syscall.EACCES,
	} {
		if _, err := init.Start(context.Background(), Spec{Path: path}); err == nil || !strings.Contains(err.Error(), want.Error()) {
			h.Errorf("start %s: %v, want %v", path, err, want)
		}
	}
	text := must(os.CreateTemp("", "not-a-program"))
	defer os.Remove(text.Name())
	must(text.WriteString("neither ELF nor script"))
	must(0, text.Chmod(0o755))
	must(0, text.Close())
	if _, err := init.Start(context.Background(), Spec{Path: text.Name()}); err == nil || !strings.Contains(err.Error(), syscall.ENOEXEC.Error()) {
		h.Errorf("start a text: %v, want %v", err, syscall.ENOEXEC)
	}
	if n := init.orphanCount(); n != 0 {
		h.Errorf("%d processes were reaped: the failed starts' statuses are nobody's orphans", n)
	}
})

func init() { hosts["TestStartThatFailsLeavesNothing"] = failsToStartScene }

func TestStartThatFailsLeavesNothing(t *testing.T) { runScene(t, failsToStartScene) }

// SIGCHLD of a child that ended before NewInit is not caught.
func earlierZombie(h *host) {
	cmd := exec.Command("/bin/true")
	must(0, cmd.Start())
	awaitZombie(cmd.Process.Pid)
	withInit(func(h *host, init *Init) { untilOrphans(init, 1) })(h)
}

// awaitZombie waits until a child has ended, without reaping it.
func awaitZombie(pid int) {
	const wnowait, wexited, pPID = 0x1000000, 4, 1
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), 0, wexited|wnowait, 0, 0)
		if e != syscall.EINTR {
			must(0, errOf(e))
			return
		}
	}
}

func errOf(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func init() { hosts["TestZombiesFromBeforeAreReaped"] = earlierZombie }

func TestZombiesFromBeforeAreReaped(t *testing.T) { runScene(t, earlierZombie) }

// PID 1 needs not become a subreaper: it gets orphans anyway.
var pid1Scene = withInit(func(h *host, init *Init) {
	if os.Getpid() != 1 {
		h.Errorf("pid is %d", os.Getpid())
	}
	caught, stop := CatchSignals()
	defer stop()
	reading, stopReading := context.WithCancel(h.ctx)
	defer stopReading()
	signals := caught.Subscribe(reading)
	r, w := pipe()
	s := testProgram("double")
	s.Extra = []*os.File{w}
	c := start(init, s)
	daemon := pidFrom(r)
	must(0, syscall.Kill(1, syscall.SIGTERM))
	if got := <-signals; got.Signal != syscall.SIGTERM {
		h.Errorf("signals %v", got)
	}
	c.KillTree(h.ctx)
	<-c.Done()
	if got := c.Status().ExitCode(); got != 137 {
		h.Errorf("exit code %d, want 137", got)
	}
	untilOrphans(init, 2) // the daemon, and the process in between
	if alive(daemon) {
		h.Errorf("the daemon lives")
	}
})

func init() { hosts["TestAsPID1"] = pid1Scene }

func TestAsPID1(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("there is no unshare here to become PID 1 with")
	}
	with := []string{"--pid", "--fork", "--mount-proc"}
	if os.Getuid() != 0 {
		with = append(with, "--map-root-user")
	}
	if out, err := exec.Command(unshare, append(with, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no pid namespace of our own is permitted here: %s", strings.TrimSpace(string(out)))
	}
	cmd := exec.Command(unshare, append(with, testBinary(t), "be", t.Name())...)
	cmd.Env = append(os.Environ(), quickEnd)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
