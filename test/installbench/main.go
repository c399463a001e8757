// Command installbench measures azptend install against the line of every start
// script, curl | tar, on an archive of the agent's real shape that it makes
// itself: some 600 MB unpacked, from the emulator on loopback, in turns, into
// folders that are new each time. `make bench-install` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

func main() {
	binary := flag.String("binary", "bin/azptend", "the azptend to measure")
	runs := flag.Int("n", 5, "how often each")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err == nil {
		err = measure(path, *runs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "installbench: cannot measure:", err)
		os.Exit(1)
	}
}

func measure(binary string, runs int) error {
	dir, err := os.MkdirTemp("", "azptend-installbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(os.Stderr, "making an archive of the agent's shape")
	archive, size, files, err := makeArchive()
	if err != nil {
		return err
	}
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return err
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
	for i := range runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
		a, err := timed(filepath.Join(dir, "azptend"), func(ctx context.Context, into string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, binary, "install", "--agent-platform", "linux-x64", "--agent-dir", into)
			cmd.Env = append(os.Environ(), environ...)
			return cmd
		})
		if err != nil {
			return err
		}
		b, err := timed(filepath.Join(dir, "tar"), func(ctx context.Context, into string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", `curl -fsSL "$1" | tar -xz -C "$2"`, "sh", url, into)
		})
		if err != nil {
			return err
		}
		ours, theirs = append(ours, a), append(theirs, b)
	}
	report(ours, theirs, len(archive), size, files)
	return nil
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

func report(ours, theirs []time.Duration, archive int, size int64, files int) {
	median := func(all []time.Duration) time.Duration {
		return slices.Sorted(slices.Values(all))[len(all)/2]
	}
	seconds := func(all []time.Duration) string {
		var words []string
		for _, d := range all {
			words = append(words, fmt.Sprintf("%.2f", d.Seconds()))
		}
		return strings.Join(words, ", ")
	}
	fmt.Printf("An archive of %.0f MB, %d files, %.0f MB unpacked; in turns, each into a new folder, from loopback.\n\n", float64(archive)/1e6, files, float64(size)/1e6)
	fmt.Println("| | median | each run, s |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| `azptend install`, verified before it is unpacked | %.2f s | %s |\n", median(ours).Seconds(), seconds(ours))
	fmt.Printf("| `curl \\| tar -xz`, not verified | %.2f s | %s |\n", median(theirs).Seconds(), seconds(theirs))
	fmt.Printf("| ratio | %.2f | |\n", median(ours).Seconds()/median(theirs).Seconds())
}
