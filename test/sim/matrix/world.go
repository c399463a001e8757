package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// scale shrinks the protocol's slow times, of emulator and fake agent alike: a
// session that nobody polls lives 7.5 s, a job's lock 7.5 to 15 s. azptend has no
// such switch.
const scale = 40

// agentName is every cell's: each has an organisation of its own.
const agentName = "cell"

// theatre is what all cells share: the programs, laid out once.
type theatre struct {
	program     []string // azptend
	dir         string   // cells' folders are below it
	agent       string   // an agent's folder to be copied
	assumptions emulator.Assumptions
}

func openTheatre(programs launch.Programs, program ...string) (*theatre, error) {
	dir, err := os.MkdirTemp("", "azptend-matrix-*")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	t := &theatre{program: program, dir: dir, agent: filepath.Join(dir, "agent")}
	if len(program) == 0 {
		t.program = []string{programs.Azptend}
	}
	return t, programs.LayOut(t.agent)
}

func (t *theatre) close() { _ = os.RemoveAll(t.dir) }

// abandon leaves nothing behind of cells that are being played, and ends.
func (t *theatre) abandon() {
	pids := process.Marked(markName + "=" + t.dir)
	for pid := range process.Running(t.dir) {
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	t.close()
	os.Exit(1)
}

// markName is the variable by which a cell's processes are known; its value is
// the cell's folder.
const markName = "AZPTEND_MATRIX_CELL"

// world is what one cell plays in.
type world struct {
	dir      string
	agentDir string
	home     string
	temp     string
	mark     string // the variable by which its processes are known
	env      []string
	emulator *emulator.Emulator
	server   *httptest.Server
	before   map[string]bool // the files there were
	jobGate  *os.File
	binGate  *os.File
}

func (t *theatre) newWorld(number int, c cell) (*world, error) {
	w := &world{dir: filepath.Join(t.dir, strconv.Itoa(number))}
	w.agentDir, w.home, w.temp = filepath.Join(w.dir, "agent"), filepath.Join(w.dir, "home"), filepath.Join(w.dir, "tmp")
	w.mark = markName + "=" + w.dir + "/"
	err := errors.Join(os.Mkdir(w.dir, 0o755), os.Mkdir(w.home, 0o755), os.Mkdir(w.temp, 0o755), launch.CopyTree(t.agent, w.agentDir))
	if err != nil {
		return nil, err
	}
	if w.emulator, err = emulator.New(emulator.Options{TimeScale: scale, Assumptions: t.assumptions}); err != nil {
		return nil, err
	}
	w.server = httptest.NewServer(w.emulator)
	if w.jobGate, err = launch.Gate(w.path("job-gate")); err != nil {
		return nil, err
	}
	if w.binGate, err = launch.Gate(w.path("bin-gate")); err != nil {
		return nil, err
	}
	if err := syscall.Mkfifo(w.path("alive"), 0o600); err != nil {
		return nil, err
	}
	w.env = append([]string{
		"PATH=" + launch.Path(), "HOME=" + w.home, "TMPDIR=" + w.temp, w.mark,
		"AZP_AGENT_DIR=" + w.agentDir, "AZP_AGENT_NAME=" + agentName, "AZP_PLATFORM=none",
		"AZP_GRACE_PERIOD=" + grace.String(), "AZP_LOG_LEVEL=debug",
		fmt.Sprintf("AZPTEND_FAKEAGENT_TIME_SCALE=%d", scale), "AZPTEND_FAKEAGENT_UPDATE_GATE=" + w.path("bin-gate"),
	}, append(slices.Clone(c.order.env), c.event.env...)...) // the last of a name counts
	for _, v := range w.emulator.Environment(w.server.URL) {
		w.env = append(w.env, v.Name+"="+v.Value)
	}
	w.before = w.files()
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// close ends everything, and says what had to be killed.
func (w *world) close() {
	process.KillAllIn(w.dir)
	for _, pid := range process.Marked(w.mark) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if f, err := os.OpenFile(w.path("alive"), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close() // whoever waits for a job that never came
	}
	for _, f := range []*os.File{w.jobGate, w.binGate} {
		if f != nil {
			f.Close()
		}
	}
	if w.emulator != nil {
		w.emulator.Close()
		w.server.CloseClientConnections()
		w.server.Close()
	}
}

// left is what still runs of this world, by pid.
func (w *world) left() map[int]string {
	found := process.Running(w.dir)
	for _, pid := range process.Marked(w.mark) {
		if _, known := found[pid]; !known {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			found[pid] = strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
		}
	}
	return found
}

// files lists the files that are azptend's to remove again: all in the agent's
// folder, the home and the folder of temporary files, but for what the agent
// itself leaves (agent-protocol.md 6: _work and _diag stay, and so do the bins of
// an update).
func (w *world) files() map[string]bool {
	found := map[string]bool{}
	for _, root := range []string{w.agentDir, w.home, w.temp} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name, _ := filepath.Rel(w.dir, path)
			of, _ := filepath.Rel(w.agentDir, path)
			switch {
			case err != nil:
				return nil // it goes away while we look
			case of == "_work" || of == "_diag" || strings.HasPrefix(of, "bin"):
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			found[name] = true
			return nil
		})
	}
	return found
}

// The budget of a cell, by docs/how-it-works.md: 15 % to remove (2 to 10 s), 40 % to stop
// (8 to 30 s), the rest to finish the job.
const (
	grace      = 16 * time.Second
	removePart = grace * 15 / 100
	stopPart   = 8 * time.Second // 40 % are 6.4
	drainPart  = grace - stopPart - removePart

	// margin is what a cell's end may come late, because dozens of cells share the
	// machine's cores, and a process that has ended must be scheduled to be seen.
	margin = 3 * time.Second
)
