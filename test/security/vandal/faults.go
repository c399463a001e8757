package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/azptend/azptend/test/internal/cells"
	"github.com/azptend/azptend/test/internal/fault"
	"github.com/azptend/azptend/test/internal/launch"
)

// planted is a fault, and the cells that must find it.
type planted struct {
	fault.Fault
	cells string // a regular expression: each of these cells must go red
	short bool   // it runs with every test
}

// faults are the guards that must be necessary.
func faults() []planted {
	const (
		safefile = "internal/safefile/safefile.go"
		openUnix = "internal/safefile/open_unix.go"
		lines    = "internal/safefile/lines.go"
		queue    = "internal/logqueue/logqueue.go"
	)
	return []planted{
		{cells: "^perf: link to /dev/zero × `--run-as`$", short: true, Fault: fault.New("following Agent.perf with the guarded reader",
			fault.Replace(lines, "\"io/fs\"\n", "\"io/fs\"\n\t\"os\"\n"),
			fault.Replace(lines, "l.dir.Open(l.name)", "os.Open(string(l.dir) + \"/\" + l.name)"),
			fault.Replace(lines, "io.NewSectionReader(f, l.offset, maxRead)", "f"),
		)},
		{cells: "^agent file: (FIFO|link to /dev/zero|link to a pipe) × `--run-as`$", Fault: fault.New("the guarded reader",
			fault.Replace(safefile, "\tf, err := d.Open(name)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\treturn readAll(f, limit)",
				"\treturn os.ReadFile(string(d) + \"/\" + name)"),
		)},
		{cells: "^(agent file: 8 TiB sparse file × (same user|`--run-as`|three agents)|registered files: 8 TiB sparse file × .*)$", Fault: fault.New("the limit of a file's size",
			fault.Replace(safefile, "if info.Size() > limit {", "if false {"),
			fault.Replace(safefile, "io.LimitReader(f, limit+1)", "f"),
			fault.Replace(safefile, "if int64(len(b)) > limit {", "if false {"),
		)},
		{cells: "^agent file: file under a lease × (same user|`--run-as`|three agents)$", Fault: fault.New("opening without waiting",
			fault.Replace(openUnix, "const openFlags = unix.O_RDONLY | unix.O_NONBLOCK |", "const openFlags = unix.O_RDONLY |"),
		)},
		{cells: "^daemons × ", Fault: fault.New("the end of what jobs leave running",
			fault.Replace("internal/proc/tree.go", "\treturn killAll(ctx, c.victims, c.init.nextReap)", "\treturn 0"),
			fault.Replace("internal/proc/init.go", "\treturn killAll(ctx, func() []process {", "\treturn killAll(ctx, func() []process {\n\t\tif true {\n\t\t\treturn nil\n\t\t}"),
		)},
		{cells: "^pids exhausted × three agents$", short: true, Fault: fault.New("threads made in time",
			fault.Replace("internal/cli/run.go", "\tif err := proc.ReserveThreads(s.Agents, user); err != nil {\n\t\treturn err\n\t}\n", ""),
		)},
		{cells: "^perf: FIFO × ", Fault: fault.New("a bound on the last waits, behind a reader that blocks",
			fault.Replace(lines, "\"io/fs\"\n", "\"io/fs\"\n\t\"os\"\n"),
			fault.Replace(lines, "l.dir.Open(l.name)", "os.Open(string(l.dir) + \"/\" + l.name)"),
			fault.Replace("internal/bounded/bounded.go", "time.AfterFunc(s.limit(most), giveUp)", "time.AfterFunc(time.Hour, giveUp)"),
			fault.Replace("internal/bounded/bounded.go", "timeout.Reset(s.limit(most - time.Since(begun)))", "timeout.Reset(time.Hour)"),
		)},
		{cells: "^output not read × ", Fault: fault.New("logging that does not wait",
			fault.Replace(queue, "\tif !q.started {\n\t\tq.started = true\n", "\tif false {\n\t\tq.started = true\n"),
		)},
		{cells: "^output not read × ", Fault: fault.New("the bound on lines that wait",
			fault.Replace(queue, "q.used == 0 || q.used+cost <= l.limit", "true"),
		)},
		{cells: "^control socket: (renamed|FIFO) × `--run-as`$", short: true, Fault: fault.New("a control socket out of reach",
			fault.Replace("internal/control/location.go", "\tif !p.OtherUser {\n\t\tp.removeGuarded()", "\tif true {\n\t\tp.removeGuarded()"),
		)},
		{cells: "^(health port: idle connections × .*|control flood: idle connections × same user)$", Fault: fault.New("the limit of connections",
			fault.Replace("internal/connlimit/connlimit.go", "maxConns: connsFor(descriptors())", "maxConns: 1 << 20"),
		)},
	}
}

// play plays the fault's cells, and returns those that did not fail.
func (f planted) play(module, lab, self string, jobs int) (played int, green []verdict, err error) {
	dir, err := os.MkdirTemp("", "azptend-vandal-fault-*")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "azptend")
	if err := f.Build(module, binary); err != nil {
		return 0, nil, err
	}
	t, err := newSuite(launch.Programs{Azptend: binary, Lab: lab}, self)
	if err != nil {
		return 0, nil, err
	}
	defer t.close()
	matching, err := cells.Matching(allCells(), f.cells)
	if err != nil {
		return 0, nil, err
	}
	possible := slices.DeleteFunc(matching, func(c cell) bool { return c.impossible() != "" })
	for _, v := range t.playAll(possible, jobs, func(int, verdict) {}) {
		if len(v.Broken) == 0 { // a cell that could not be played proves nothing
			green = append(green, v)
		}
	}
	return len(possible), green, nil
}

// runFaults plays all faults, and reports whether the cells found each.
func runFaults(lab string, jobs int, only string) (ok bool, err error) {
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
		if !pattern.MatchString(f.Guard) {
			continue
		}
		played, green, err := f.play(module, lab, self, jobs)
		if err != nil {
			return false, err
		}
		fmt.Printf("without %s: %d of %d cells are red\n", f.Guard, played-len(green), played)
		for _, v := range green {
			fmt.Printf("GREEN %s\n", v)
		}
		ok = ok && len(green) == 0 && played > 0
	}
	return ok, nil
}
