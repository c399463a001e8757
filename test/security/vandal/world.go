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
	// scale shrinks the protocol's slow times, of emulator and fake agent alike.
	scale = 40
	// grace is AZP_GRACE_PERIOD of every cell.
	grace = 16 * time.Second
	// margin is what an end may come late: many cells share the machine.
	margin = 4 * time.Second
	// mostMemory is what azptend may use: many times of what it needs.
	mostMemory = 128 << 20
	// mostDescriptors is what azptend may hold: it serves 64 connections at once for
	// probes, and as many at its control socket.
	mostDescriptors = 300
	// addresses bounds it from outside, in bytes. A Go program reserves more than it uses.
	addresses = 4 << 30
	// fewFiles is the limit of descriptors in cells that attack it.
	fewFiles = 1024
	// firstUser is the user of the first cell's jobs. Each cell has a user of its
	// own, since some limits are a user's.
	firstUser = 10001

	agentName = "cell"
	markName  = "AZPTEND_VANDAL_CELL"
	pidsGroup = "/sys/fs/cgroup/pids"
	prefix    = "azptend-vandal-"
)

// world is what one cell plays in.
type world struct {
	theatre  *theatre
	cell     cell
	uid      int // of the jobs; 0: ours
	dir      string
	group    string
	confined confinement
	env      []string
	emulator *emulator.Emulator
	server   *httptest.Server
	given    int // the agent that azptend register has made
	signs    *os.File
	gates    map[string]*os.File
}

func (t *theatre) newWorld(number int, c cell) (_ *world, err error) {
	w := &world{theatre: t, cell: c, dir: filepath.Join(t.dir, strconv.Itoa(number)), gates: map[string]*os.File{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if os.Getuid() == 0 {
		w.uid = firstUser + number
	}
	for _, dir := range []string{"", "home", "tmp", "signs", "victim", "azp"} {
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
	if w.signs, err = launch.Gate(w.path("signs/done")); err != nil {
		return nil, err
	}
	for _, name := range []string{"vandal", "innocent-1", "innocent-2", "next"} {
		if w.gates[name], err = launch.Gate(w.path("signs/" + name)); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"home", "tmp", "signs"} {
		if err := giveTo(w.uid, w.path(dir)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// setLimits says what azptend is confined to.
func (w *world) setLimits() error {
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

// setEnvironment is what a container would be given.
func (w *world) setEnvironment() error {
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
		if err := giveTo(w.uid, roots); err != nil {
			return err
		}
	} else if err := giveTo(w.uid, w.path("azp")); err != nil {
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

// register makes the agent in the place of an init container, which alone has an
// identity.
func (w *world) register(identity []emulator.EnvVar) error {
	c := exec.Command(w.theatre.binary, "register", "--out", w.path("azp/handed"))
	c.Env = []string{"AZP_AGENT_NAME=" + agentName, "HOME=" + w.path("home")}
	for _, v := range identity {
		c.Env = append(c.Env, v.Name+"="+v.Value)
	}
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot register: %w\n%s", err, said)
	}
	w.given = w.emulator.State().Pools[0].Agents[0].ID
	w.env = append(w.env, "AZP_REGISTERED="+w.path("azp/handed"))
	return giveTo(w.uid, w.path("azp/handed"))
}

// setVictim makes files of root, or of ours, that no cell may change.
func (w *world) setVictim() error {
	return errors.Join(os.WriteFile(w.path("victim/.agent"), []byte("precious\n"), 0o600),
		os.Mkdir(w.path("victim/.azptend-perf-1"), 0o755),
		os.WriteFile(w.path("victim/.azptend-perf-1/Agent.perf"), []byte("precious\n"), 0o600))
}

// victim says what became of them.
func (w *world) victim() string {
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

// agents is how many agents azptend runs.
func (w *world) agents() int {
	if w.cell.column == three {
		return 3
	}
	return 1
}

// command is azptend under the cell's limits.
func (w *world) command(args ...string) (*exec.Cmd, error) {
	spec, err := json.Marshal(w.confined)
	if err != nil {
		return nil, err
	}
	c := exec.Command(w.theatre.vandal, append([]string{"confine", string(spec), w.theatre.binary}, args...)...)
	c.Env, c.Dir = w.env, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, nil
}

func (w *world) open(gate string) { fmt.Fprintln(w.gates[gate], "open") }

func (w *world) close() {
	killAllOf(w.dir, w.group)
	for _, f := range w.gates {
		f.Close()
	}
	if w.signs != nil {
		w.signs.Close()
	}
	if w.emulator != nil {
		w.emulator.Close()
		w.server.CloseClientConnections()
		w.server.Close()
	}
	removeTree(w.dir)
}
