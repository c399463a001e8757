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

// scale divides the protocol's long times, in the emulator and the fake agent: a session
// that nobody polls expires after 7.5 s, a job's lock after 7.5 to 15 s. azptend's own times
// are not scaled.
const scale = 40

// agentName is the same in every cell, because each has an emulator of its own.
const agentName = "cell"

// suite is what all cells share.
type suite struct {
	program     []string // azptend, and arguments before its own
	dir         string   // contains the cells' folders
	agent       string   // an agent's folder, copied for each cell
	assumptions emulator.Assumptions
}

func newSuite(programs launch.Programs, program ...string) (*suite, error) {
	dir, err := os.MkdirTemp("", "azptend-matrix-*")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	t := &suite{program: program, dir: dir, agent: filepath.Join(dir, "agent")}
	if len(program) == 0 {
		t.program = []string{programs.Azptend}
	}
	return t, programs.LayOut(t.agent)
}

func (t *suite) close() { _ = os.RemoveAll(t.dir) }

// abandon kills the processes of all cells, removes the files, and exits.
func (t *suite) abandon() {
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

// markName is the environment variable that identifies a cell's processes. Its value is the
// cell's folder.
const markName = "AZPTEND_MATRIX_CELL"

// sandbox is one cell's folders and emulator.
type sandbox struct {
	dir      string
	agentDir string
	home     string
	temp     string
	mark     string // markName=folder
	env      []string
	emulator *emulator.Emulator
	server   *httptest.Server
	before   map[string]bool // the files before azptend started, and again before the job
	jobGate  *os.File
	binGate  *os.File
}

func (t *suite) newSandbox(number int, c cell) (*sandbox, error) {
	w := &sandbox{dir: filepath.Join(t.dir, strconv.Itoa(number))}
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
	}, append(slices.Clone(c.order.env), c.event.env...)...) // of two with the same name the last counts
	for _, v := range w.emulator.Environment(w.server.URL) {
		w.env = append(w.env, v.Name+"="+v.Value)
	}
	w.before = w.files()
	return w, nil
}

func (w *sandbox) path(name string) string { return filepath.Join(w.dir, name) }

// close kills what still runs, and closes the emulator.
func (w *sandbox) close() {
	process.KillAllIn(w.dir)
	for _, pid := range process.Marked(w.mark) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if f, err := os.OpenFile(w.path("alive"), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close() // unblocks the goroutine of queue if no job opened the FIFO
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

// left returns the command lines of the cell's processes that still run, by pid.
func (w *sandbox) left() map[int]string {
	found := process.Running(w.dir)
	for _, pid := range process.Marked(w.mark) {
		if _, known := found[pid]; !known {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			found[pid] = strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
		}
	}
	return found
}

// files lists the files that azptend must remove if they are new: all in the agent's folder,
// the home and the folder of temporary files, except what the agent itself leaves
// (agent-protocol.md 6: _work, _diag and the bin folders of an update).
func (w *sandbox) files() map[string]bool {
	found := map[string]bool{}
	for _, root := range []string{w.agentDir, w.home, w.temp} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name, _ := filepath.Rel(w.dir, path)
			of, _ := filepath.Rel(w.agentDir, path)
			switch {
			case err != nil:
				return nil // it was removed meanwhile
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

// The parts of the grace period in a cell (docs/how-it-works.md): 15 % to remove (2 to
// 10 s), 40 % to stop (8 to 30 s), the rest to finish the job.
const (
	grace      = 16 * time.Second
	removePart = grace * 15 / 100
	stopPart   = 8 * time.Second // the minimum: 40 % would be 6.4 s
	drainPart  = grace - stopPart - removePart

	// margin is added to the grace period because dozens of cells share the machine's cores.
	margin = 3 * time.Second
)
