// Command vm follows docs/vm.md without Azure: it boots Debian, with systemd as its first process,
// in a systemd-nspawn machine with the page's own cloud-config. There an agent runs as azptend's
// unit against an emulator, through a stop, kills, wrong settings and the machine's shutdown. `make
// test-vm` runs it; it needs root, debootstrap, systemd-container and Debian's packages. The agent
// is the fake one, and local files replace the page's downloads. Everything else is done as
// described on the page.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
)

// timeout limits the whole run. Most of that time is the installation of packages.
const timeout = 20 * time.Minute

func main() {
	programs := launch.Flags()
	page := flag.String("page", "docs/vm.md", "the page whose cloud-config is used")
	base := flag.String("base", "", "a folder that debootstrap has filled, to spare the time; made if it is not there")
	flag.Parse()
	if err := runPage(*programs, *page, *base); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

// runPage creates the machine, boots it, and runs the scenes until it is shut down.
func runPage(programs launch.Programs, page, base string) error {
	ctx, stop := context.WithTimeout(context.Background(), timeout)
	defer stop()
	work, err := os.MkdirTemp("", "azptend-vm-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if base == "" {
		base = filepath.Join(work, "base")
	}
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	m := &machine{page: page, root: filepath.Join(work, "root")}
	if err := m.fill(ctx, base); err != nil {
		return err
	}
	sum, err := m.copyDownloads(ctx, programs)
	if err != nil {
		return err
	}
	if err := m.seed(ctx, sum, w.environment()); err != nil {
		return err
	}
	if err := m.boot(ctx); err != nil {
		return err
	}
	defer m.kill()
	if err := playScenes(ctx, w, m); err != nil {
		journal, _ := m.in(ctx, "journalctl", "--unit", "azptend", "--no-pager", "--output", "cat")
		output, _ := os.ReadFile(filepath.Join(m.root, "var/log/cloud-init-output.log"))
		return fmt.Errorf("%w\ncloud-init:\n%s\nthe unit:\n%s", err, output, journal)
	}
	return nil
}
