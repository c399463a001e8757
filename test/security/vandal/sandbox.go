package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

const (
	// scale divides the protocol's long times, in the emulator and the fake agent.
	scale = 40
	// grace is AZP_GRACE_PERIOD of every cell.
	grace = 16 * time.Second
	// margin is added to the grace period, because many cells share the machine.
	margin = 4 * time.Second
	// mostMemory is the most memory that azptend may use: many times what it needs.
	mostMemory = 128 << 20
	// mostDescriptors is the most descriptors that azptend may hold: it serves 64
	// connections at once for probes, and as many at its control socket.
	mostDescriptors = 300
	// addresses is azptend's RLIMIT_AS in bytes. A Go program reserves more than it uses.
	addresses = 4 << 30
	// fewFiles is the descriptor limit in cells that attack it.
	fewFiles = 1024
	// firstUser is the user of the first cell's jobs. Each cell has a user of its own,
	// because some limits apply to a user.
	firstUser = 10001

	agentName = "cell"
	markName  = "AZPTEND_VANDAL_CELL"
	pidsGroup = "/sys/fs/cgroup/pids"
	prefix    = "azptend-vandal-"
)

// sandbox is one cell's directory, emulator, limits and environment.
type sandbox struct {
	suite        *suite
	cell         cell
	uid          int // of the jobs; 0: this process's user
	dir          string
	group        string
	confined     confinement
	env          []string
	emulator     *emulator.Emulator
	server       *httptest.Server
	registeredID int // the id of the agent that azptend register created
	reportPipe   *os.File
	gates        map[string]*os.File
}

func (t *suite) newSandbox(number int, c cell) (_ *sandbox, err error) {
	w := &sandbox{suite: t, cell: c, dir: filepath.Join(t.dir, strconv.Itoa(number)), gates: map[string]*os.File{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if os.Getuid() == 0 {
		w.uid = firstUser + number
	}
	for _, dir := range []string{"", "home", "tmp", "pipes", "victim", "azp"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.setVictim(), launch.CopyTree(t.agent, w.path("azp/agent")), os.Link(t.vandal, w.path("vandal")), os.Link(t.sleep, w.path("sleep")))
	if err != nil {
		return nil, err
	}
	if w.emulator, err = emulator.New(emulator.Options{TimeScale: scale}); err != nil {
		return nil, err
	}
	w.server = httptest.NewServer(w.emulator)
	if err := w.setLimits(); err != nil {
		return nil, err
	}
	if err := w.setEnvironment(); err != nil {
		return nil, err
	}
	if w.reportPipe, err = launch.Gate(w.path("pipes/report")); err != nil {
		return nil, err
	}
	for _, name := range []string{"vandal", "other-1", "other-2", "next"} {
		if w.gates[name], err = launch.Gate(w.path("pipes/" + name)); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"home", "tmp", "pipes"} {
		if err := chownTree(w.uid, w.path(dir)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *sandbox) path(name string) string { return filepath.Join(w.dir, name) }

// setLimits sets azptend's confinement.
func (w *sandbox) setLimits() error {
	w.confined = confinement{Memory: addresses}
	if !w.cell.runAs() {
		w.confined.UID = w.uid
	}
	switch w.cell.attack.needs {
	case files:
		w.confined.Files = fewFiles
	case disk:
		w.confined.Disk, w.confined.Fill, w.confined.Owner = w.path("disk"), w.path("azp/agent"), w.uid
		return os.Mkdir(w.path("disk"), 0o755)
	case pids:
		w.group = filepath.Join(pidsGroup, fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), filepath.Base(w.dir)))
		w.confined.Group = w.group
		if err := os.Mkdir(w.group, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.group, "pids.max"), []byte("200"), 0o600)
	}
	return nil
}

// setEnvironment sets the variables that a container would have.
func (w *sandbox) setEnvironment() error {
	w.env = []string{
		"PATH=" + launch.Path(), "HOME=" + w.path("home"), "TMPDIR=" + w.path("tmp"), markName + "=" + w.dir + "/",
		"AZP_AGENT_NAME=" + agentName, "AZP_PLATFORM=none", "AZP_GRACE_PERIOD=" + grace.String(),
		fmt.Sprintf("AZPTEND_FAKEAGENT_TIME_SCALE=%d", scale),
	}
	if w.cell.attack.when == once {
		w.env = append(w.env, "AZP_ONCE=true")
	}
	w.env = append(w.env, w.cell.attack.env...)
	agent := w.path("azp/agent")
	if w.confined.Disk != "" {
		agent = w.confined.Disk
	}
	w.env = append(w.env, "AZP_AGENT_DIR="+agent)
	if w.cell.runAs() {
		w.env = append(w.env, fmt.Sprintf("AZP_RUN_AS=%d:%d", w.uid, w.uid))
	}
	if w.cell.column == three {
		roots := w.path("roots")
		if w.confined.Disk != "" { // the installation is not on the small file system, the roots are
			w.confined.Fill = w.path("victim")
			w.env = append(w.env, "AZP_AGENT_DIR="+w.path("azp/agent"))
			roots = w.confined.Disk
		} else if err := os.Mkdir(roots, 0o755); err != nil {
			return err
		}
		w.env = append(w.env, "AZP_AGENTS=3", "AZP_AGENT_ROOT="+roots)
		if err := chownTree(w.uid, roots); err != nil {
			return err
		}
	} else if err := chownTree(w.uid, w.path("azp")); err != nil {
		return err
	}
	identity := w.emulator.Environment(w.server.URL)
	if w.cell.external() {
		return w.register(identity)
	}
	for _, v := range identity {
		w.env = append(w.env, v.Name+"="+v.Value)
	}
	return nil
}

// register registers the agent as an init container would. Only that command has an
// identity.
func (w *sandbox) register(identity []emulator.EnvVar) error {
	c := exec.Command(w.suite.binary, "register", "--out", w.path("azp/handed"))
	c.Env = []string{"AZP_AGENT_NAME=" + agentName, "HOME=" + w.path("home")}
	for _, v := range identity {
		c.Env = append(c.Env, v.Name+"="+v.Value)
	}
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot register: %w\n%s", err, output)
	}
	w.registeredID = w.emulator.State().Pools[0].Agents[0].ID
	w.env = append(w.env, "AZP_REGISTERED="+w.path("azp/handed"))
	return chownTree(w.uid, w.path("azp/handed"))
}

// setVictim makes files of root, or of this process's user, that no cell may change.
func (w *sandbox) setVictim() error {
	return errors.Join(os.WriteFile(w.path("victim/.agent"), []byte("precious\n"), 0o600),
		os.Mkdir(w.path("victim/.azptend-perf-1"), 0o755),
		os.WriteFile(w.path("victim/.azptend-perf-1/Agent.perf"), []byte("precious\n"), 0o600))
}

// victim describes those files as they are now.
func (w *sandbox) victim() string {
	var all []string
	_ = filepath.WalkDir(w.path("victim"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			all = append(all, err.Error())
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		name, _ := filepath.Rel(w.dir, path)
		b := []byte(nil)
		if info.Mode().IsRegular() {
			b, _ = os.ReadFile(path)
		}
		all = append(all, fmt.Sprintf("%s %v %q", name, info.Mode(), b))
		return nil
	})
	return strings.Join(all, ", ")
}

// agents returns how many agents azptend runs.
func (w *sandbox) agents() int {
	if w.cell.column == three {
		return 3
	}
	return 1
}

// command returns azptend's command under the cell's limits.
func (w *sandbox) command(args ...string) (*exec.Cmd, error) {
	spec, err := json.Marshal(w.confined)
	if err != nil {
		return nil, err
	}
	c := exec.Command(w.suite.vandal, append([]string{"confine", string(spec), w.suite.binary}, args...)...)
	c.Env, c.Dir = w.env, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, nil
}

func (w *sandbox) open(gate string) { fmt.Fprintln(w.gates[gate], "open") }

func (w *sandbox) close() {
	killAll(w.dir, w.group)
	for _, f := range w.gates {
		f.Close()
	}
	if w.reportPipe != nil {
		w.reportPipe.Close()
	}
	if w.emulator != nil {
		w.emulator.Close()
		w.server.CloseClientConnections()
		w.server.Close()
	}
	removeTree(w.dir)
}
