//go:build linux

package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// An Init reaps all children of its process, also those that the test binary starts with
// os/exec. So a test that needs an Init runs in a process of its own, a host: this binary as
// "proc.test be NAME", with NAME in hosts. A host starts this binary again, or the shell.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "be" {
		os.Exit(runHelper(os.Args[2], os.Args[3:]))
	}
	syscall.Umask(0o022) // the machine's may hide from other users what they run here
	goleak.VerifyTestMain(m)
}

// hosts are the functions that need a process of their own, by the name of their test. They
// report failures with h.Errorf.
var hosts = map[string]func(*host){}

// host is the process that a scene runs in.
type host struct {
	failed bool
	ctx    context.Context
}

func (h *host) Errorf(format string, args ...any) {
	h.failed = true
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// must panics if a call fails that the scene needs.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// withInit runs a scene with an Init, and then checks that it left no goroutine, process or
// zombie.
func withInit(scene func(*host, *Init)) func(*host) {
	return func(h *host) {
		init := must(NewInit())
		scene(h, init)
		for _, p := range must(processes()) {
			if p.parent == os.Getpid() {
				h.Errorf("a process is left: %+v %q", p, programOf(p.pid))
			}
		}
		init.Close()
		if err := goleak.Find(); err != nil {
			h.Errorf("%v", err)
		}
	}
}

// sceneTimeout bounds a scene. A scene that hangs prints its goroutines and fails.
const sceneTimeout = time.Minute

func runHelper(name string, args []string) int {
	if program, is := programs[name]; is {
		return program(args)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sceneTimeout)
	defer cancel()
	h := &host{ctx: ctx}
	watchdog := time.AfterFunc(sceneTimeout, func() {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "the scene hangs:\n%s\n", buf[:runtime.Stack(buf, true)])
		os.Exit(3)
	})
	hosts[name](h)
	watchdog.Stop()
	if h.failed {
		return 1
	}
	return 0
}

// runScene runs a scene in a host. If it fails, the test fails with its output.
func runScene(t *testing.T, scene func(*host)) {
	t.Helper()
	t.Parallel()
	cmd := hostCommand(t, scene)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func hostCommand(t *testing.T, _ func(*host)) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(testBinary(t), "be", t.Name())
	cmd.Env = append(os.Environ(), quickEnd)
	return cmd
}

// quickEnd keeps the race detector from sleeping for a second at each exit.
const quickEnd = "GORACE=atexit_sleep_ms=0"

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// testProgram runs this binary as one of programs.
func testProgram(program string, args ...string) Spec {
	return Spec{
		Path: must(os.Executable()), Args: append([]string{"be", program}, args...),
		Env: []string{quickEnd}, Stderr: os.Stderr,
	}
}

// sh runs a shell script. A shell starts twenty times as fast as this binary.
func sh(script string, args ...string) Spec {
	return Spec{
		Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...),
		Env: []string{"PATH=/usr/bin:/bin"}, Stderr: os.Stderr,
	}
}

// programs are what the scenes start. Descriptor 3, if there is one, is a pipe to the host.
// A program writes its pid to it when it is ready.
var programs = map[string]func(args []string) int{
	// block writes its pid and waits to be killed.
	"block": func([]string) int {
		fmt.Fprintf(os.NewFile(3, "ready"), "%d\n", os.Getpid())
		forever()
		return 0
	},
	// double forks twice, as a daemon does, in a session of its own. Then it waits.
	"double": func(args []string) int {
		if len(args) > 0 { // the process in between
			detach("block")
			return 0
		}
		detach("double", "between")
		forever()
		return 0
	},
}

func forever() {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR1)
	<-never
}

func detach(args ...string) {
	cmd := exec.Command(must(os.Executable()), append([]string{"be"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "ready")}
	must(0, cmd.Start())
}

// pidFrom reads a pid that a program wrote to its descriptor 3.
func pidFrom(r *os.File) int {
	line := must(readLine(r))
	return must(strconv.Atoi(line))
}

func readLine(r *os.File) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		if _, err := r.Read(one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

// pipe returns the host's end and the program's.
func pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	must(0, err)
	return r, w
}

// start starts s, and closes the host's copies of the files that it passes on.
func start(init *Init, s Spec) *Child {
	c := must(init.Start(context.Background(), s))
	for _, f := range s.Extra {
		f.Close()
	}
	return c
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	p, err := parseStat(stat)
	return err == nil && !p.zombie
}

// untilOrphans waits until the Init has reaped n processes that it did not start.
func untilOrphans(init *Init, n int) {
	for {
		soon := init.nextReap()
		if init.orphanCount() >= n {
			return
		}
		<-soon
	}
}

// orphanCount is how many processes the Init reaped that it did not start.
func (i *Init) orphanCount() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.orphans
}
