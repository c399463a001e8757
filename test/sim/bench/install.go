package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/process"
)

// installs is how often each way is measured in each place and over each network. With
// three ways, each is first, second and last once.
const installs = 3

// place is a file system to install on.
type place struct{ Name, Dir string }

// way is one way to install an agent.
type way struct {
	Name    string
	command func(ctx context.Context, s source, into string) *exec.Cmd
}

// source is where a way gets the archive.
type source struct {
	binary  string
	environ []string // for azptend
	url     string
	sum     string
}

// ways are azptend install, the command line that start scripts use, and that line with
// azptend's promise: only a verified archive is unpacked.
func ways() []way {
	shell := func(script string) func(context.Context, source, string) *exec.Cmd {
		return func(ctx context.Context, s source, into string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", script, "sh", s.url, into, s.sum)
		}
	}
	return []way{
		{"`azptend install`, verified before it is installed", func(ctx context.Context, s source, into string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, s.binary, "install", "--agent-platform", "linux-x64", "--agent-dir", into)
			cmd.Env = append(os.Environ(), s.environ...)
			return cmd
		}},
		{"`curl \\| tar -xz`, not verified", shell(`curl -fsSL "$1" | tar -xz -C "$2"`)},
		{"`curl -o && sha256sum -c && tar -xzf`", shell(`cd "$2" && curl -fsSL -o a.tar.gz "$1" && echo "$3  a.tar.gz" | sha256sum -c --quiet && tar -xzf a.tar.gz && rm a.tar.gz`)},
	}
}

// timing is the wall-clock and CPU time of a command.
type timing struct{ wall, cpu time.Duration }

// row has the measurements of one way, in one place over one network.
type row struct {
	place, network, way string
	runs                []timing
}

// measureInstall makes an archive like the agent's, serves it from the emulator, and
// measures the ways in turns.
func measureInstall(binary string) (string, error) {
	fmt.Fprintln(os.Stderr, "making an archive like the agent's")
	archive, size, files, err := makeArchive()
	if err != nil {
		return "", err
	}
	disk, err := os.MkdirTemp("", "azptend-installbench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(disk)
	memory, err := os.MkdirTemp("/dev/shm", "azptend-installbench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(memory)
	load := loadAverage()
	var rows []*row
	for _, n := range []network{{"loopback", 0}, {"100 MB/s", 100e6}} {
		more, err := measureOver(n, binary, archive, []place{{"disk", disk}, {"memory (tmpfs)", memory}})
		if err != nil {
			return "", err
		}
		rows = append(rows, more...)
	}
	roots, err := measureRoots(filepath.Join(disk, "0-0-0"), disk)
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("%.0f MB, %d files, %.0f MB unpacked", float64(len(archive))/1e6, files, float64(size)/1e6)
	machine := fmt.Sprintf("%s; its load %s before and %s after, this benchmark's own included", process.Machine(), load, loadAverage())
	return installPart(what, rows, roots, machine), nil
}

// loadAverage is the machine's load average of the last minute, "unknown" if not on Linux.
// Other load makes these times longer, and not all ways equally.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

// measureOver measures all ways over one network.
func measureOver(n network, binary string, archive []byte, places []place) ([]*row, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	server := httptest.NewServer(n.slow(e))
	defer server.Close()
	const version = "5.282.3"
	e.PutPackage("agent", "linux-x64", version, archive)
	s := source{binary: binary, sum: fmt.Sprintf("%x", sha256.Sum256(archive)),
		url: server.URL + "/_packages/agent/" + version + "/vsts-agent-linux-x64-" + version + ".tar.gz"}
	for _, v := range e.Environment(server.URL) {
		s.environ = append(s.environ, v.Name+"="+v.Value)
	}
	var rows []*row
	for i, p := range places {
		// Folders in memory are removed at once. Folders on the disk stay until the end:
		// for each new file ext4 skips, one by one, the inodes that were freed within the
		// last minutes (recently_deleted in its ialloc.c). That added some five seconds to
		// each run, and hid the differences.
		these, err := measureInTurns(p, n, s, i > 0)
		if err != nil {
			return nil, err
		}
		rows = append(rows, these...)
	}
	return rows, nil
}

// measureInTurns measures the ways in one place, in turns.
func measureInTurns(p place, n network, s source, removeAfter bool) ([]*row, error) {
	var rows []*row
	for _, w := range ways() {
		rows = append(rows, &row{place: p.Name, network: n.name, way: w.Name})
	}
	for run := range installs {
		for turn := range ways() {
			i := (turn + run) % len(ways()) // no way always follows the same one
			w := ways()[i]
			fmt.Fprintf(os.Stderr, "%s, %s, run %d of %d: %s\n", p.Name, n.name, run+1, installs, w.Name)
			into := filepath.Join(p.Dir, fmt.Sprintf("%.0f-%d-%d", n.rate, run, i))
			took, err := timed(into, w.command, s)
			if err != nil {
				return nil, err
			}
			rows[i].runs = append(rows[i].runs, took)
			if removeAfter {
				if err := os.RemoveAll(into); err != nil {
					return nil, err
				}
			}
		}
	}
	return rows, nil
}

// timed measures a command that fills a new folder. It syncs the disk first. CPU time is
// that of the command and its children, in the kernel too. Neither time contains what the
// kernel writes to the disk later.
func timed(into string, command func(context.Context, source, string) *exec.Cmd, s source) (timing, error) {
	if err := os.Mkdir(into, 0o755); err != nil {
		return timing{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sync").CombinedOutput(); err != nil {
		return timing{}, fmt.Errorf("sync: %w: %s", err, out)
	}
	cmd := command(ctx, s, into)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begun)
	if err != nil {
		return timing{}, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, out)
	}
	if _, err := os.Stat(filepath.Join(into, "bin", "Agent.Listener")); err != nil {
		return timing{}, fmt.Errorf("%s left no agent: %w", cmd.Args[0], err)
	}
	return timing{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}
