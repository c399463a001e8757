package control

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// jobs is the user that jobs run as.
const jobs = 64001

// guardedPlace is a location with jobs of another user. Its two bases represent /run and
// /dev/shm.
func guardedPlace(t *testing.T) (p Location, run, shm string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run jobs as another user")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	run, shm = filepath.Join(dir, "run"), filepath.Join(dir, "shm")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chown(root, jobs, jobs), os.Mkdir(run, 0o755), os.Mkdir(shm, 0o755),
		os.Chmod(shm, os.ModeSticky|0o777)); err != nil {
		t.Fatal(err)
	}
	return Location{Root: root, OtherUser: true, bases: []base{{run, inRun}, {shm, inShm}}}, run, shm
}

// withoutSetting is the same location for a client that does not know that jobs run as
// another user.
func withoutSetting(p Location) Location {
	p.OtherUser = false
	return p
}

// planted is a socket that a job made in a directory of its own. It answers with a healthy
// status.
func planted(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	socket := filepath.Join(folder, socketName)
	err = errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), os.Chown(folder, jobs, jobs), os.Chown(socket, jobs, jobs))
	// A client sees the user that began to listen.
	listening := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, jobs, jobs, jobs)
		if errno != 0 {
			listening <- errno
			return
		}
		listening <- unix.Listen(fd, 5)
	}()
	if err := errors.Join(err, <-listening); err != nil {
		t.Fatal(err)
	}
}

func TestJobsCannotReachTheSocket(t *testing.T) {
	p, run, _ := guardedPlace(t)
	s := listenIn(t, p, newLife())
	if !strings.HasPrefix(s.dir.path, run+"/azptend/") {
		t.Errorf("the socket is in %s", s.dir.path)
	}
	planted(t, p.agentDir()) // where the socket would be without another user
	for _, c := range []Client{{p}, {withoutSetting(p)}} {
		if status, err := c.Status(t.Context()); err != nil || status.Phase != "idle" {
			t.Errorf("%+v: %v, %v", c.Location, status, err)
		}
	}
	// The directory of an azptend that was killed stays. Clients do not use the job's socket.
	_ = s.listener.Close()
	for _, c := range []Client{{p}, {withoutSetting(p)}} {
		if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%+v: %v", c.Location, err)
		}
	}
}

func TestSecondBase(t *testing.T) {
	for name, spoil := range map[string]func(run string) error{
		"written to by everybody": func(run string) error { return os.Chmod(run, 0o777) },
		"of the jobs' user":       func(run string) error { return os.Chown(run, jobs, jobs) },
		"not there":               os.Remove,
		"a file in its way":       func(run string) error { return os.WriteFile(filepath.Join(run, runDirName), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			p, run, shm := guardedPlace(t)
			if err := spoil(run); err != nil {
				t.Fatal(err)
			}
			// A job has created the name before, in the directory that all users can write to.
			planted(t, filepath.Join(shm, inShm(p.Root)))
			if _, err := (Client{p}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
				t.Errorf("before the start: %v", err)
			}
			s := listenIn(t, p, newLife())
			if filepath.Dir(s.dir.path) != shm {
				t.Errorf("the socket is in %s", s.dir.path)
			}
			for _, c := range []Client{{p}, {withoutSetting(p)}} {
				if _, err := c.Status(t.Context()); err != nil {
					t.Errorf("%+v: %v", c.Location, err)
				}
			}
		})
	}
}

// TestNoGuardedDir: if neither base can be used, the socket is in the agent's root, with a
// warning. Clients do not accept the server of a job that replaces it.
func TestNoGuardedDir(t *testing.T) {
	p, run, shm := guardedPlace(t)
	if err := errors.Join(os.Chmod(run, 0o777), os.Chmod(shm, 0o777)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s, err := Listen(p, newLife(), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(closeTimeout)
	if s.dir.path != p.agentDir() || !strings.Contains(said.String(), "Jobs can remove the control socket") {
		t.Errorf("the socket is in %s, and azptend says: %s", s.dir.path, said.String())
	}
	if _, err := (Client{p}).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Rename(p.agentDir(), p.agentDir()+".moved"); err != nil {
		t.Fatal(err)
	}
	planted(t, p.agentDir())
	if _, err := (Client{p}).Status(t.Context()); !errors.Is(err, ErrForbidden) {
		t.Errorf("a job's socket: %v", err)
	}
}

// TestDirOfKilledRun: an azptend that was killed leaves its directory. A later one, whose jobs
// run as its own user, is still found.
func TestDirOfKilledRun(t *testing.T) {
	p, _, _ := guardedPlace(t)
	s, err := Listen(p, newLife(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.cancel()
	if other, err := Listen(withoutSetting(p), newLife(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	} else if _, err := (Client{p}).Status(t.Context()); err != nil { // the first one still runs: its directory is not removed
		t.Error(err)
	} else if err := other.Close(closeTimeout); err != nil {
		t.Error(err)
	}
	_ = s.listener.Close()
	_ = s.dir.file.Close() // and its lock
	next := listenIn(t, withoutSetting(p), newLife())
	if _, err := (Client{p}).Status(t.Context()); err != nil || next.dir.path != p.agentDir() {
		t.Errorf("%v, in %s", err, next.dir.path)
	}
}

// TestALongAnswer: an answer of a job is read only up to maxResponse.
func TestALongAnswer(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, ".azptend")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(folder, socketName))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		endless := []byte(strings.Repeat("x", 1<<16))
		for err == nil {
			_, err = c.Write(endless)
		}
	}()
	if _, err := (Client{Location{Root: root}}).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "it is too long") {
		t.Errorf("error is %v", err)
	}
}
