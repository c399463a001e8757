package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// fault is azptend without one of its guards: a small edit of its source, made
// through an overlay when it is built. The product has no switch for it.
type fault struct {
	guard string
	edits []edit
	cells string // a regular expression: each of these cells must go red
	short bool   // it runs with every test
}

// edit replaces a text that must be in a file exactly once.
type edit struct{ file, from, to string }

// faults are the guards that are known to be needed.
func faults() []fault {
	const (
		safefile = "internal/safefile/safefile.go"
		openUnix = "internal/safefile/open_unix.go"
		lines    = "internal/safefile/lines.go"
		queue    = "internal/logqueue/logqueue.go"
	)
	return []fault{
		{guard: "following Agent.perf with the guarded reader", short: true, cells: "^perf: link to /dev/zero × `--run-as`$", edits: []edit{
			{lines, "\"io/fs\"\n", "\"io/fs\"\n\t\"os\"\n"},
			{lines, "l.dir.Open(l.name)", "os.Open(string(l.dir) + \"/\" + l.name)"},
			{lines, "io.NewSectionReader(f, l.offset, linesWindow)", "f"},
		}},
		{guard: "the guarded reader", cells: "^agent file: (FIFO|link to /dev/zero|link to a pipe) × `--run-as`$", edits: []edit{
			{safefile, "\tf, err := d.Open(name)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\treturn readWhole(f, limit)",
				"\treturn os.ReadFile(string(d) + \"/\" + name)"},
		}},
		{guard: "the limit of a file's size", cells: "^(agent file: 8 TiB sparse file × (same user|`--run-as`|three agents)|registered files: 8 TiB sparse file × .*)$", edits: []edit{
			{safefile, "if info.Size() > limit {", "if false {"},
			{safefile, "io.LimitReader(f, limit+1)", "f"},
			{safefile, "if int64(len(b)) > limit {", "if false {"},
		}},
		{guard: "opening without waiting", cells: "^agent file: file under a lease × (same user|`--run-as`|three agents)$", edits: []edit{
			{openUnix, "const openFlags = unix.O_RDONLY | unix.O_NONBLOCK |", "const openFlags = unix.O_RDONLY |"},
		}},
		{guard: "the end of what jobs leave running", cells: "^daemons × ", edits: []edit{
			{"internal/proc/tree.go", "\treturn killAll(ctx, c.victims, c.init.nextReap)", "\treturn 0"},
			{"internal/proc/init.go", "\treturn killAll(ctx, func() []process {", "\treturn killAll(ctx, func() []process {\n\t\tif true {\n\t\t\treturn nil\n\t\t}"},
		}},
		{guard: "threads made in time", short: true, cells: "^pids exhausted × three agents$", edits: []edit{
			{"internal/cli/run.go", "\tproc.ReserveThreads(s.Agents)\n\tif err := user.ReserveThreads(s.Agents); err != nil {\n\t\treturn err\n\t}\n", ""},
		}},
		{guard: "a bound on the last waits, behind a reader that blocks", cells: "^perf: FIFO × ", edits: []edit{
			{lines, "\"io/fs\"\n", "\"io/fs\"\n\t\"os\"\n"},
			{lines, "l.dir.Open(l.name)", "os.Open(string(l.dir) + \"/\" + l.name)"},
			{"internal/supervisor/runner.go", "bounded.Within(l.within, step)", "bounded.Within(time.Hour, step)"},
		}},
		{guard: "logging that does not wait", cells: "^output not read × ", edits: []edit{
			{queue, "\tif !q.begun {\n\t\tq.begun = true\n", "\tif false {\n\t\tq.begun = true\n"},
		}},
		{guard: "the bound on lines that wait", cells: "^output not read × ", edits: []edit{
			{queue, "q.used > 0 && q.used+e.cost() > most", "false"},
		}},
		{guard: "a control socket out of reach", short: true, cells: "^control socket: (renamed|FIFO) × `--run-as`$", edits: []edit{
			{"internal/control/location.go", "\tif !p.OtherUser {\n\t\tp.removeGuarded()", "\tif true {\n\t\tp.removeGuarded()"},
		}},
		{guard: "the limit of connections", cells: "^(health port: idle connections × .*|control flood: idle connections × same user)$", edits: []edit{
			{"internal/connlimit/connlimit.go", "most: within(descriptors())", "most: 1 << 20"},
		}},
	}
}

// overlay writes what `go build -overlay` wants into a directory, and returns its
// path. It fails where the source is no longer as the fault expects it.
func (f fault) overlay(module, dir string) (string, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return "", err
	}
	sources := map[string]string{}
	for _, e := range f.edits {
		path := filepath.Join(module, filepath.FromSlash(e.file))
		text, known := sources[path]
		if !known {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("the fault %q: %w", f.guard, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.from); n != 1 {
			return "", fmt.Errorf("the fault %q no longer fits: %s has this text %d times, not once:\n%s", f.guard, e.file, n, e.from)
		}
		sources[path] = strings.Replace(text, e.from, e.to, 1)
	}
	replace := map[string]string{}
	for path, text := range sources {
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o644)
}

// build builds azptend with the fault in it.
func (f fault) build(module, dir string) (binary string, err error) {
	overlay, err := f.overlay(module, dir)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "azptend")
	return binary, goBuild(filepath.Join(module, "cmd", "azptend"), binary, "-overlay", overlay)
}

// goBuild builds a program, static, with more arguments for the compiler.
func goBuild(program, to string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", to}, more...)
	cmd := exec.Command("go", append(args, program)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", program, err, said)
	}
	return nil
}

// play plays the fault's cells, and returns those that did not go red.
func (f fault) play(module, self string, jobs int) (played int, green []verdict, err error) {
	dir, err := os.MkdirTemp("", "azptend-vandal-fault-*")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(dir)
	binary, err := f.build(module, dir)
	if err != nil {
		return 0, nil, err
	}
	t, err := openTheatre(binary, self)
	if err != nil {
		return 0, nil, err
	}
	defer t.close()
	pattern, err := regexp.Compile(f.cells)
	if err != nil {
		return 0, nil, err
	}
	var cells []cell
	for _, c := range allCells() {
		if pattern.MatchString(c.String()) && c.impossible() == "" {
			cells = append(cells, c)
		}
	}
	for _, v := range t.playAll(cells, jobs, func(int, verdict) {}) {
		if len(v.broken) == 0 { // that it could not be played proves nothing
			green = append(green, v)
		}
	}
	return len(cells), green, nil
}

// runFaults plays all faults, and says whether each was found out.
func runFaults(jobs int, only string) (ok bool, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	module, err := os.Getwd()
	if err != nil {
		return false, err
	}
	ok = true
	for _, f := range faults() {
		if !pattern.MatchString(f.guard) {
			continue
		}
		played, green, err := f.play(module, self, jobs)
		if err != nil {
			return false, err
		}
		fmt.Printf("without %s: %d of %d cells are red\n", f.guard, played-len(green), played)
		for _, v := range green {
			fmt.Printf("GREEN %s\n", v)
		}
		ok = ok && len(green) == 0 && played > 0
	}
	return ok, nil
}
