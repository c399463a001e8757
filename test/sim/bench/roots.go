package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/install"
)

// rootRuns is how often each method makes a root.
const rootRuns = 3

// measureRoots measures how long it takes to make a root of an installation of the agent's
// size: with hard links, with copies, and, if XFS can be mounted, with reflinks.
func measureRoots(installation, disk string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "A root made from that installation (`--agent-root`), %d times each:\n\n| method | file system | files | room taken | time, median | each, s |\n|---|---|---|---|---|---|\n", rootRuns)
	const otherUID = 10001 // jobs of this user cannot write the installation's files, so hard links are allowed
	for _, m := range []struct {
		want install.Method
		jobs int
	}{{install.HardLink, otherUID}, {install.Copy, 0}} {
		if err := rootRow(&b, m.want, "the disk", installation, filepath.Join(disk, "root-"+fmt.Sprint(m.jobs)), m.jobs); err != nil {
			return "", err
		}
	}
	mounted, unmount, err := mountXFS(disk)
	if err != nil {
		fmt.Fprintf(&b, "| reflink | not measured: no XFS could be mounted here | | | | |\n")
		fmt.Fprintln(os.Stderr, err)
		return b.String(), nil
	}
	defer unmount()
	copied := filepath.Join(mounted, "azp")
	if out, err := exec.Command("cp", "-a", installation, copied).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cp: %w: %s", err, out)
	}
	err = rootRow(&b, install.Reflink, "XFS in a file on it", copied, filepath.Join(mounted, "root"), otherUID)
	return b.String(), err
}

func rootRow(b *strings.Builder, want install.Method, where, installation, dir string, jobs int) error {
	var all []time.Duration
	var done install.RootResult
	for run := range rootRuns {
		if out, err := exec.Command("sync").CombinedOutput(); err != nil {
			return fmt.Errorf("sync: %w: %s", err, out)
		}
		var err error
		done, err = install.MakeRoot(context.Background(), install.RootOptions{
			From: installation, Dir: fmt.Sprint(dir, run), Jobs: install.JobUser{UID: jobs, GID: jobs},
		})
		if err != nil {
			return err
		}
		if done.Method != want {
			return fmt.Errorf("the root was made by %s, and %s was to be measured", done.Method, want)
		}
		all = append(all, done.Took)
	}
	var each []string
	for _, d := range all {
		each = append(each, fmt.Sprintf("%.2f", d.Seconds()))
	}
	fmt.Fprintf(b, "| %s | %s | %d | %.0f MB | %.2f s | %s |\n", want, where, done.Files, float64(done.Copied)/1e6,
		slices.Sorted(slices.Values(all))[rootRuns/2].Seconds(), strings.Join(each, ", "))
	return nil
}

// mountXFS makes a file system with reflinks in a file. It needs root, mkfs.xfs and a loop
// device.
func mountXFS(disk string) (dir string, unmount func(), err error) {
	image := filepath.Join(disk, "xfs.img")
	dir = filepath.Join(disk, "xfs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, err
	}
	for _, words := range [][]string{
		{"truncate", "-s", "3G", image},
		{"mkfs.xfs", "-q", "-m", "reflink=1", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("%s: %w: %s", words[0], err, out)
		}
	}
	return dir, func() { _ = exec.Command("umount", dir).Run() }, nil
}
