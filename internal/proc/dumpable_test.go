//go:build linux

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func init() {
	// hold becomes undumpable if asked, writes its pid, and waits to be killed.
	programs["hold"] = func(args []string) int {
		if args[0] == "undumpable" {
			must(0, MakeUndumpable())
		}
		return programs["block"](nil)
	}
}

// A job is a process of the same user. It can read another process's environment, unless
// that process is undumpable.
func jobLooksAround(h *host) {
	for state, closed := range map[string]bool{"dumpable": false, "undumpable": true} {
		r, w := pipe()
		cmd := exec.Command(must(os.Executable()), "be", "hold", state)
		cmd.Env = []string{"IDENTITY_HEADER=the-secret"}
		cmd.ExtraFiles = []*os.File{w}
		must(0, cmd.Start())
		w.Close()
		pid := pidFrom(r)
		for _, file := range []string{"environ", "mem", "fd"} {
			err := readSecretOf(pid, file)
			if denied := errors.Is(err, fs.ErrPermission); denied != closed {
				h.Errorf("%s of a process that is %s: %v", file, state, err)
			}
		}
		must(0, cmd.Process.Kill())
		_ = cmd.Wait()
	}

	// What azptend does still works in an undumpable process.
	must(0, MakeUndumpable())
	withInit(func(h *host, init *Init) {
		c := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}})
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.Pid())); err != nil {
			h.Errorf("a child's environment: %q, %v: it is as undumpable as its parent", b, err)
		}
		connected(h, init)
		c.KillTree(h.ctx)
		<-c.Done()
		init.untilNoZombie()
	})(h)
}

// connected checks FindConnection, which reads the child's descriptors.
func connected(h *host, init *Init) {
	l := must(net.Listen("tcp4", "127.0.0.1:0"))
	defer l.Close()
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	c := start(init, testProgram("connect", "tcp4", port))
	conn := must(l.Accept())
	if got, err := c.FindConnection(addr(conn.LocalAddr()), []netip.AddrPort{addr(conn.RemoteAddr())}); got != 0 || err != nil {
		h.Errorf("who connected to an undumpable process: %v, %v", got, err)
	}
	conn.Close()
	must(0, c.Signal(syscall.SIGKILL))
	<-c.Done()
}

func readSecretOf(pid int, file string) error {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	if file == "fd" {
		_, err := os.ReadDir(path)
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if file == "mem" {
		return nil // the kernel checks the permission in open
	}
	b := make([]byte, 1<<12)
	n, err := f.Read(b)
	if err == nil && !strings.Contains(string(b[:n]), "the-secret") {
		return errors.New("the secret is not in it")
	}
	return err
}

func init() { hosts["TestUndumpable"] = jobLooksAround }

// TestUndumpable runs as the user nobody, because root can read everything.
func TestUndumpable(t *testing.T) {
	t.Parallel()
	cmd := hostCommand(t, jobLooksAround)
	if os.Getuid() == 0 {
		// Only root can read the directory of the test binary.
		dir, err := os.MkdirTemp("/tmp", "proc-test")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := errors.Join(os.Chmod(dir, 0o755), copyFile(testBinary(t), filepath.Join(dir, "proc.test"))); err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir = filepath.Join(dir, "proc.test"), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
