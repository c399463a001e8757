package script

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/test/internal/process"
)

// cmdStart starts a process: start NAME PROGRAM [ARG...].
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM [ARG...]")
	}
	s := stageOf(ts)
	program := args[1]
	switch program {
	case "azptend":
		program = programs.Azptend
	case "azptend-lab":
		program = programs.Lab
	case "azptend-earlier":
		program = earlierBinary()
	}
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range append(strings.Fields(ts.Getenv("KEEP")), inherited()...) {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a, err := process.Start(cmd)
	ts.Check(err)
	s.processes[args[0]] = a
}

// inherited are the variables that an process gets from its script if they are set. It gets no
// others, like a container.
func inherited() []string {
	names := []string{
		"PATH", "HOME", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "CONTAINER_APP_NAME",
		"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE",
		"AZPTEND_FAKEAGENT_TIME_SCALE", "AZPTEND_FAKEAGENT_PLAYS", "AZPTEND_FAKEAGENT_EXIT", "AZPTEND_FAKEAGENT_EXIT_AFTER",
		"AZPTEND_FAKEAGENT_FLAGS_TAKE", "AZPTEND_FAKEAGENT_CONNECTS", "AZPTEND_FAKEAGENT_CLOSES", "AZPTEND_FAKEAGENT_REFUSED",
		"AZPTEND_FAKEAGENT_TERM", "AZPTEND_FAKEAGENT_OBEYS", "AZPTEND_FAKEAGENT_UPDATE_GATE",
	}
	for _, row := range config.Table {
		names = append(names, row.Env)
	}
	return names
}

func (s *stage) process(ts *testscript.TestScript, name string) *process.Process {
	a := s.processes[name]
	if a == nil {
		ts.Fatalf("nobody is called %s", name)
	}
	return a
}

// cmdSignal sends a signal: signal TERM NAME. NAME/child is NAME's only child. NAME/all is NAME
// and all processes below it, to which Container Apps sends SIGTERM (container-apps#1493).
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"KILL": syscall.SIGKILL, "USR1": syscall.SIGUSR1, "URG": syscall.SIGURG, "WINCH": syscall.SIGWINCH,
		"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}
	if neg || len(args) != 2 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|INT|HUP|QUIT|KILL|USR1|URG|WINCH|STOP|CONT NAME")
	}
	name, whom, _ := strings.Cut(args[1], "/")
	pid := stageOf(ts).process(ts, name).Pid()
	pids := []int{pid}
	switch whom {
	case "child":
		pids = process.Descendants(pid)[:1]
	case "all":
		pids = append(pids, process.Descendants(pid)...)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, signals[args[0]]); err != nil && !(whom == "all" && errors.Is(err, syscall.ESRCH)) {
			ts.Fatalf("cannot signal %d: %v", pid, err)
		}
	}
}

// cmdEnds waits until a process exits, checks its exit code, and writes its output to NAME.log
// for grep: ends NAME CODE.
func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	a := stageOf(ts).process(ts, args[0])
	ctx, cancel := inTime()
	defer cancel()
	select {
	case <-a.Done():
	case <-ctx.Done():
		ts.Fatalf("%s does not end; it said:\n%s", args[0], a.Output())
	}
	text := a.Output()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), []byte(text), 0o600))
	ts.Logf("%s", text)
	if code := a.Code(); fmt.Sprint(code) != args[1] {
		ts.Fatalf("%s ended with %d, want %s", args[0], code, args[1])
	}
}

// cmdSays waits until a process's output matches: says NAME REGEXP.
func cmdSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: says NAME REGEXP")
	}
	a := stageOf(ts).process(ts, args[0])
	what := regexp.MustCompile(words(args[1:]))
	ctx, cancel := inTime()
	defer cancel()
	if err := a.Says(ctx, what); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}
