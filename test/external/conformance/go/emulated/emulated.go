package emulated

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Address is where Start's emulator and PlayEntra listen.
var Address = "127.0.0.1"

// Org is the organisation's name. It has capitals to test azure-devops-go-api, which lower-cases
// the whole address.
const Org = "Contoso"

// Emulator is an "azptend-lab emulate" process that runs until the test ends.
type Emulator struct {
	URL string // http://Address:port
	Org string // URL/Contoso, for AZP_URL and clients
	PAT string // of an administrator of all pools

	env      []string // the variables that it printed to export: the managed identity of agents
	agentDir string   // directory of the fake agent
	agents   int
}

// azptend and lab are the programs, built by Main from the tree that contains this file. lab has
// the emulator and the fake agent.
var azptend, lab string

// Main is for a TestMain: it builds azptend, runs the tests, and returns the exit code.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "azptend-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	_, here, _, _ := runtime.Caller(0)
	azptend, lab = filepath.Join(dir, "azptend"), filepath.Join(dir, "azptend-lab")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "./cmd/azptend", "./cmd/azptend-lab") // -buildvcs=false: another user may own the clone
	build.Dir = filepath.Join(filepath.Dir(here), "../../../../..")
	if said, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build azptend: %v\n%s", err, said)
		return 1
	}
	return m.Run()
}

// environment is the environment of a program: only PATH comes from the machine, so that no
// setting, identity or proxy of the developer has an effect.
func environment(home string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir()}, more...)
}

// Start starts an emulator with these pools, which get the ids 1, 2 and so on. Without pools it has
// "Default".
func Start(t testing.TB, pools ...string) *Emulator {
	t.Helper()
	e := &Emulator{agentDir: filepath.Join(t.TempDir(), "agent")}
	args := []string{"emulate", "--listen", Address + ":0", "--org", Org, "--agent-dir", e.agentDir, "--host", "login.microsoftonline.com"} // the host that Entra simulates
	for _, p := range pools {
		args = append(args, "--pool", p)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, lab, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
	c.SysProcAttr = separate()
	c.Env = environment(filepath.Dir(e.agentDir))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = c.Wait() })
	e.read(t, bufio.NewScanner(out))
	return e
}

// read parses the variables to export from the output of the emulator. The last line of that output
// shows how to queue a job.
func (e *Emulator) read(t testing.TB, lines *bufio.Scanner) {
	t.Helper()
	for lines.Scan() {
		line := lines.Text()
		if export, ok := strings.CutPrefix(line, "export "); ok {
			e.env = append(e.env, export)
			if org, ok := strings.CutPrefix(export, "AZP_URL="); ok {
				e.Org, e.URL = org, strings.TrimSuffix(org, "/"+Org)
			}
		}
		if _, pat, ok := strings.Cut(line, "export AZP_TOKEN="); ok {
			e.PAT = pat
		}
		if strings.HasPrefix(line, "# queue a job") {
			return
		}
	}
	t.Fatalf("azptend-lab emulate ended before it listened: %v", lines.Err())
}

// Binary returns the path of azptend, built by Main.
func Binary() string { return azptend }

// AgentDir returns the directory of the fake agent.
func (e *Emulator) AgentDir() string { return e.agentDir }

// Placeholder runs "azptend placeholder ensure" to create the placeholder of a pool, with these
// capabilities (name=value).
func (e *Emulator) Placeholder(t testing.TB, pool, name string, capabilities ...string) {
	t.Helper()
	args := []string{"placeholder", "ensure", "--pool", pool, "--agent-name", name}
	for _, c := range capabilities {
		args = append(args, "--capability", c)
	}
	c := exec.Command(azptend, args...)
	c.Env = environment(filepath.Dir(e.agentDir), e.env...)
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("azptend placeholder: %v\n%s", err, said)
	}
}

// RunAgent starts "azptend run" in its own directory, waits for its session, and drains it when the
// test ends. The settings (AZP_CAPABILITIES=maven=true) override those of the emulator.
func (e *Emulator) RunAgent(t testing.TB, name string, settings ...string) {
	t.Helper()
	e.agents++
	dir := fmt.Sprintf("%s-%d", e.agentDir, e.agents)
	if err := os.CopyFS(dir, os.DirFS(e.agentDir)); err != nil {
		t.Fatal(err)
	}
	before := e.LastEvent(t)
	ctx, stop := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, azptend, "run")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Env = environment(dir, e.env...)
	c.Env = append(c.Env, "AZP_AGENT_NAME="+name, "AZP_AGENT_DIR="+dir, "AZP_LOG_LEVEL=warn", "AZP_ON_TERM=cancel")
	c.Env = append(c.Env, settings...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = c.Wait() })
	e.WaitEvent(t, before, func(ev Event) bool { return ev.Type == "session.created" && ev.Agent == name })
}

// RunKeeper starts "azptend keep", waits until it serves its page, and ends it when the test ends or
// by stop. address has no slash at its end.
func (e *Emulator) RunKeeper(t testing.TB, settings ...string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, azptend, "keep", "--listen", "127.0.0.1:0")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Env = append(environment(filepath.Dir(e.agentDir), e.env...), settings...)
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() { cancel(); _ = c.Wait() })
	t.Cleanup(ended)
	where := regexp.MustCompile(`page=(http://\S+)/`)
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if found := where.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return found[1], ended
		}
	}
	t.Fatalf("the keeper ended:\n%s", said.String())
	return "", nil
}
