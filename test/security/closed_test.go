//go:build linux

package security

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// canary is the secret in the environment of the inspected process.
const canary = "canary-of-the-container"

// otherUser is an unprivileged user. Its processes are inspected by another process of the
// same user.
type otherUser struct {
	dir  string // a directory that it can enter
	cred *syscall.Credential
}

func newOtherUser(t *testing.T) otherUser {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "azptend-closed-*") // other users cannot enter t.TempDir's parents
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	if os.Getuid() != 0 {
		return otherUser{dir: dir}
	}
	return otherUser{dir, &syscall.Credential{Uid: 64001, Gid: 64001}}
}

// command runs a program as that user, with the canary in its environment.
func (b otherUser) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = "/", []string{"AZP_TOKEN=" + canary}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.cred}
	return cmd
}

// readable returns what a process of the same user can read of another process's secrets.
func (b otherUser) readable(t *testing.T, pid int) (what []string) {
	t.Helper()
	look := b.command(t.Context(), "/bin/sh", "-c", fmt.Sprintf(`set +e; for f in environ mem; do head -c 65536 /proc/%[1]d/$f >/dev/null 2>&1; done
		tr '\0' '\n' </proc/%[1]d/environ; ls -l /proc/%[1]d/fd/ | grep -- '->'; cat /proc/%[1]d/maps; cat /proc/%[1]d/cmdline >/dev/null && echo looked`, pid))
	out, _ := look.Output()
	if !bytes.Contains(out, []byte("looked")) {
		t.Fatalf("the other process could not look at %d: %s", pid, out)
	}
	for name, sign := range map[string]string{"environment": canary, "descriptors": "->", "memory map": "[stack]"} {
		if bytes.Contains(out, []byte(sign)) {
			what = append(what, name)
		}
	}
	return what
}

// TestEveryCommandIsClosed checks that other processes of the same user cannot inspect a
// command, even one that needs no secret, because all commands start with the container's
// environment. Each command is inspected while it waits for something after its start.
func TestEveryCommandIsClosed(t *testing.T) {
	t.Parallel()
	b := newOtherUser(t)
	agent := filepath.Join(b.dir, "agent")
	check(t, os.Mkdir(agent, 0o755))
	if b.cred != nil {
		check(t, os.Chown(agent, int(b.cred.Uid), int(b.cred.Gid)))
	}
	all := [][]string{
		{"healthcheck"}, {"healthcheck", "--ready"}, {"drain", "--terminating", "--wait"}, // a probe, and a hook
		{"token", "--auth=managed-identity"}, {"doctor", "--url=URL"}, {"agents", "--url=URL"}, {"prune", "--url=URL"},
		{"placeholder", "ensure", "--url=URL"}, {"keep", "--url=URL", "--pool=Default", "--listen=off"}, {"register", "--url=URL", "--out=" + agent + "/out"},
		{"setup", "--url=URL", "--identity=22222222-0000-4000-8000-000000000001"}, {"install", "--url=URL", "--agent-dir=" + agent + "/new"},
		{"selftest", "--url=URL", "--pool=Default", "--yes"}, {"service", "--env-file=/" + strings.Repeat("x", 4000)},
		{"completion", "bash"}, {"run", "--help"},
	}
	for _, name := range commands(t) {
		if !slices.ContainsFunc(all, func(args []string) bool { return args[0] == name }) {
			t.Errorf("azptend %s is not tested: add it to the list", name)
		}
	}
	for _, args := range all {
		t.Run(fmt.Sprintf("%.40s", strings.Join(args[:min(2, len(args))], " ")), func(t *testing.T) {
			t.Parallel()
			pid := b.startHeld(t, agent, args)
			if seen := b.readable(t, pid); len(seen) > 0 {
				t.Errorf("another process of the user reads its %s", strings.Join(seen, " and "))
			}
		})
	}
}

// commands returns azptend's commands, from their help pages. version and help print too
// little to be made to wait.
func commands(t *testing.T) (names []string) {
	t.Helper()
	pages, err := filepath.Glob("../../internal/lab/testdata/help/azptend-*.txt")
	check(t, err)
	for _, page := range pages {
		name, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(page), "azptend-"), ".txt"), "-")
		if !slices.Contains([]string{"version", "help", "lab"}, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Error("there are no pages of help")
	}
	return names
}

// startHeld starts a command of azptend, and returns its pid while it waits for a server's
// answer, for the control socket's answer, or for a reader of its output.
func (b otherUser) startHeld(t *testing.T, agent string, args []string) (pid int) {
	t.Helper()
	asked := make(chan struct{}, 100)
	free := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-free:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(free) })
	full := make([]string, len(args))
	for i, arg := range args {
		full[i] = strings.ReplaceAll(arg, "URL", server.URL+"/org")
	}
	cmd := b.command(t.Context(), programs.Azptend, full...)
	if full[0] == "healthcheck" || full[0] == "drain" {
		agent = b.silentSocket(t, asked)
	}
	cmd.Env = append(cmd.Env, "HOME="+agent, "AZP_AGENT_DIR="+agent, "IDENTITY_ENDPOINT="+server.URL, "IDENTITY_HEADER="+canary)
	r, w, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { r.Close() })
	var said bytes.Buffer
	cmd.Stderr = &said
	prints := full[0] == "completion" || full[0] == "service" || full[len(full)-1] == "--help"
	if prints { // more than fits into the pipe
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), syscall.F_SETPIPE_SZ, 4096)
		check(t, errnoOf(errno))
		cmd.Stdout = w
	}
	check(t, cmd.Start())
	ended := make(chan struct{})
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	go func() { _ = cmd.Wait(); w.Close(); close(ended) }()
	if prints {
		_, err := r.Read(make([]byte, 1))
		check(t, err)
		return cmd.Process.Pid
	}
	select {
	case <-asked:
	case <-ended:
		t.Fatalf("it ended without asking: %s", said.String())
	}
	return cmd.Process.Pid
}

func errnoOf(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// silentSocket makes a control socket that accepts requests and does not answer. It returns
// the agent's directory that it is in.
func (b otherUser) silentSocket(t *testing.T, asked chan<- struct{}) string {
	t.Helper()
	agent, err := os.MkdirTemp(b.dir, "asked-*")
	check(t, err)
	folder := filepath.Join(agent, ".azptend")
	check(t, os.Mkdir(folder, 0o700))
	l, err := net.Listen("unix", filepath.Join(folder, "control.sock"))
	check(t, err)
	t.Cleanup(func() { l.Close() })
	if b.cred != nil { // root may answer anybody
		for _, path := range []string{agent, folder, filepath.Join(folder, "control.sock")} {
			check(t, os.Chown(path, int(b.cred.Uid), int(b.cred.Gid)))
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadBytes('\n')
				if json.Valid(line) {
					asked <- struct{}{}
				}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return agent
}

// TestUnreadableExecutableIsClosedFromTheStart checks what docs/security.md says about mode
// 0711: if a user cannot read an executable, the kernel closes its process to that user
// from the exec on. The same program with mode 0755 is open.
func TestUnreadableExecutableIsClosedFromTheStart(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make a file that another user cannot read")
	}
	b := newOtherUser(t)
	sleep, err := os.ReadFile("/bin/sleep")
	check(t, err)
	for mode, want := range map[os.FileMode]int{0o711: 0, 0o755: 3} {
		program := filepath.Join(b.dir, fmt.Sprintf("sleep-%o", mode))
		check(t, errors.Join(os.WriteFile(program, sleep, mode), os.Chmod(program, mode)))
		cmd := b.command(t.Context(), program, "1000")
		check(t, cmd.Start()) // returns once the program is executed
		seen := b.readable(t, cmd.Process.Pid)
		check(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if len(seen) != want {
			t.Errorf("of a program with mode %o another process of the user reads: %v", mode, seen)
		}
	}
}
