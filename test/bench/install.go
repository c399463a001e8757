package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/process"
)

// installs is how often each way is measured.
const installs = 5

// measureInstall measures azptend install against the line of every start script,
// curl | tar, on an archive of the agent's real shape that it makes itself, from
// the emulator on loopback, in turns, into folders that are new each time.
func measureInstall(binary string) (string, error) {
	dir, err := os.MkdirTemp("", "azptend-installbench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(os.Stderr, "making an archive of the agent's shape")
	archive, size, files, err := makeArchive()
	if err != nil {
		return "", err
	}
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return "", err
	}
	defer e.Close()
	server := httptest.NewServer(e)
	defer server.Close()
	const version = "4.260.0"
	e.PutPackage("agent", "linux-x64", version, archive)
	url := server.URL + "/_packages/agent/" + version + "/vsts-agent-linux-x64-" + version + ".tar.gz"

	var environ []string
	for _, v := range e.Environment(server.URL) {
		environ = append(environ, v.Name+"="+v.Value)
	}
	var ours, theirs []time.Duration
	for i := range installs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, installs)
		a, err := timed(filepath.Join(dir, "azptend"), func(ctx context.Context, into string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, binary, "install", "--agent-platform", "linux-x64", "--agent-dir", into)
			cmd.Env = append(os.Environ(), environ...)
			return cmd
		})
		if err != nil {
			return "", err
		}
		b, err := timed(filepath.Join(dir, "tar"), func(ctx context.Context, into string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", `curl -fsSL "$1" | tar -xz -C "$2"`, "sh", url, into)
		})
		if err != nil {
			return "", err
		}
		ours, theirs = append(ours, a), append(theirs, b)
	}
	return installPart(ours, theirs, len(archive), size, files), nil
}

// timed is how long a command takes to fill a new folder. The disk is quiet when
// it begins.
func timed(into string, command func(context.Context, string) *exec.Cmd) (time.Duration, error) {
	if err := os.Mkdir(into, 0o755); err != nil {
		return 0, err
	}
	defer os.RemoveAll(into)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sync").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("sync: %w: %s", err, out)
	}
	cmd := command(ctx, into)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begun)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, out)
	}
	if _, err := os.Stat(filepath.Join(into, "bin", "Agent.Listener")); err != nil {
		return 0, fmt.Errorf("%s left no agent: %w", cmd.Args[0], err)
	}
	return took, nil
}

func installPart(ours, theirs []time.Duration, archive int, size int64, files int) string {
	median := func(all []time.Duration) float64 { return slices.Sorted(slices.Values(all))[len(all)/2].Seconds() }
	seconds := func(all []time.Duration) string {
		var words []string
		for _, d := range all {
			words = append(words, fmt.Sprintf("%.2f", d.Seconds()))
		}
		return strings.Join(words, ", ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, `## Installing the agent

Written by `+"`make bench-install`"+` on %s; do not edit. An archive of the agent's shape, made by the benchmark: %.0f MB, %d files, %.0f MB unpacked;
from the emulator on loopback, so the download is as good as free for both; in turns, each into a new folder.

| | median | each run, s |
|---|---|---|
| `+"`azptend install`"+`, verified before it is unpacked | %.2f s | %s |
| `+"`curl \\| tar -xz`"+`, not verified | %.2f s | %s |
| ratio | %.2f | |

The machine: %s.
`, time.Now().UTC().Format(time.DateOnly), float64(archive)/1e6, files, float64(size)/1e6,
		median(ours), seconds(ours), median(theirs), seconds(theirs), median(ours)/median(theirs), process.Machine())
	return b.String()
}
