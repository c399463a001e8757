//go:build linux

package proc

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestStatInside: a path is resolved as the process sees it.
func TestStatInside(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(there, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A link in their root directory is resolved below it.
	if err := os.Symlink(here, filepath.Join(there, "link")); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$1" "$2" && echo mounted && exec sleep 600`, "sh", there, here)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Skip("there is no unshare")
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Skip("there are no mount namespaces here")
	}
	same := func(name string, got fs.FileInfo, err error, path string) {
		t.Helper()
		want, err2 := os.Stat(path)
		if err := errors.Join(err, err2); err != nil || !os.SameFile(got, want) {
			t.Errorf("%s: not %s: %v", name, path, err)
		}
	}
	pid := other.Process.Pid
	found, err := infoOf(pid).Stat(here)
	same("theirs", found, err, there)
	found, err = infoOf(os.Getpid()).Stat(here)
	same("ours", found, err, here)
	found, err = infoOf(pid).Stat(filepath.Join(here, "link", "below"))
	same("theirs, by a link", found, err, filepath.Join(there, "below"))
	if _, err := infoOf(pid).Stat(filepath.Join(here, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}

	// The same on a kernel without openat2.
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err = statSameNamespace("/proc/self", root, here)
	same("ours, on an old kernel", found, err, here)
	theirs, err := os.Open(there)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if _, err := statSameNamespace("/proc/self", theirs, here); err == nil {
		t.Errorf("a process with another root directory is looked into on an old kernel")
	}
	if _, err := statSameNamespace("/proc/"+strconv.Itoa(pid), root, here); err == nil {
		t.Errorf("a process in another mount namespace is looked into on an old kernel")
	}
}

// TestKillListedProcess: SIGKILL goes to the listed process, and not to a later one with its
// pid.
func TestKillListedProcess(t *testing.T) {
	sleep := exec.Command("/bin/sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	row, err := processOf(sleep.Process.Pid, make([]byte, statBufferSize))
	if err != nil {
		t.Fatal(err)
	}
	earlier := row
	earlier.start--
	if earlier.kill() || !alive(sleep.Process.Pid) {
		t.Errorf("a process was killed for an earlier one of its number")
	}
	if !row.kill() {
		t.Errorf("it cannot be killed")
	}
	_ = sleep.Wait()
	if sig := sleep.ProcessState.Sys().(syscall.WaitStatus).Signal(); sig != syscall.SIGKILL {
		t.Errorf("it ended by %v", sig)
	}
	if row.kill() {
		t.Errorf("one that has ended was killed")
	}
}

// TestRealUser: the real user is found, whatever the program is called.
func TestRealUser(t *testing.T) {
	if got := realUser(os.Getpid()); got != os.Getuid() {
		t.Errorf("our own: %d, want %d", got, os.Getuid())
	}
	if got := realUser(1 << 30); got != -1 {
		t.Errorf("nobody's: %d", got)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start another user's process")
	}
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x\nUid:\t0\t")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	other := &exec.Cmd{Path: path, Args: []string{"sleep", "600"}}
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	if got := realUser(other.Process.Pid); got != 54321 {
		t.Errorf("another's: %d, want 54321", got)
	}
}
