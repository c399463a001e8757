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

// canary is the secret in the environment of what is looked into.
const canary = "canary-of-the-container"

// bystander is a user of its own, whose processes a job of the same user looks
// at.
type bystander struct {
	dir  string // that it may go to
	cred *syscall.Credential
}

func newBystander(t *testing.T) bystander {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "azptend-closed-*") // t.TempDir's parents are our own user's alone
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	if os.Getuid() != 0 {
		return bystander{dir: dir}
	}
	return bystander{dir, &syscall.Credential{Uid: 64001, Gid: 64001}}
}

// command is a program of that user's, with the canary in its environment.
func (b bystander) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = "/", []string{"AZP_TOKEN=" + canary}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.cred}
	return cmd
}

// sees says what a process of the same user reads of another one's secrets.
func (b bystander) sees(t *testing.T, pid int) (what []string) {
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

// Other processes of its user cannot inspect a command, whether or not it holds a
// secret: all commands start with the container's environment. Each is held up at
// something that it does after its start.
func TestEveryCommandIsClosed(t *testing.T) {
	t.Parallel()
	b := newBystander(t)
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
			pid := b.heldUp(t, agent, args)
			if seen := b.sees(t, pid); len(seen) > 0 {
				t.Errorf("another process of the user reads its %s", strings.Join(seen, " and "))
			}
		})
	}
}

// commands are azptend's commands, by their pages of help. version and help print too little
// to be held up.
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

// heldUp starts a command of azptend's, and returns its pid while it waits: for
// the answer of a server or of the control socket, or for a reader of what it
// prints.
func (b bystander) heldUp(t *testing.T, agent string, args []string) (pid int) {
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
	if prints { // more than the pipe holds
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

// silentSocket is a control socket that is asked and does not answer. It returns
// the agent's folder that it is in.
func (b bystander) silentSocket(t *testing.T, asked chan<- struct{}) string {
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

// What docs/security.md says about mode 0711: the kernel makes a process whose
// executable its user cannot read closed from the exec on, whatever the program
// does. The same program with mode 0755, which does nothing about it, is open.
func TestUnreadableExecutableIsClosedFromTheStart(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make a file that another user cannot read")
	}
	b := newBystander(t)
	sleep, err := os.ReadFile("/bin/sleep")
	check(t, err)
	for mode, want := range map[os.FileMode]int{0o711: 0, 0o755: 3} {
		program := filepath.Join(b.dir, fmt.Sprintf("sleep-%o", mode))
		check(t, errors.Join(os.WriteFile(program, sleep, mode), os.Chmod(program, mode)))
		cmd := b.command(t.Context(), program, "1000")
		check(t, cmd.Start()) // returns once the program is executed
		seen := b.sees(t, cmd.Process.Pid)
		check(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if len(seen) != want {
			t.Errorf("of a program with mode %o another process of the user reads: %v", mode, seen)
		}
	}
}
