// Command image goes through the steps of deploy/images/debian.Dockerfile where
// there is no container engine: in a chroot of debootstrap's, as root, and then
// lives an agent's life in it, as the image's user and by its ENTRYPOINT, against
// an emulator. `make test-image` runs it; it needs debootstrap and Debian's
// packages. The agent is the fake one, and azptend the binary that is given: the
// build stage is not run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/azptend/azptend/test/internal/dockerfile"
	"github.com/azptend/azptend/test/internal/launch"
)

type options struct {
	programs launch.Programs
	file     string
	suite    string
	base     string
}

// patience bounds all of it; most is packages.
const patience = 20 * time.Minute

func main() {
	var o options
	programs := launch.Flags()
	flag.StringVar(&o.file, "file", "deploy/images/debian.Dockerfile", "the Dockerfile; its last stage is gone through")
	flag.StringVar(&o.suite, "suite", "bookworm", "Debian's name for the version that the Dockerfile is from")
	flag.StringVar(&o.base, "base", "", "a folder that debootstrap has filled, to spare the time; made if it is not there")
	flag.Parse()
	o.programs = *programs
	if err := walk(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// walk makes the image and lives in it.
func walk(o options) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	b, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}
	stages, err := dockerfile.Parse(string(b))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "azptend-image-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if o.base == "" {
		o.base = filepath.Join(work, "base")
	}
	i := &image{programs: o.programs, root: filepath.Join(work, "root"), args: map[string]string{}, environ: []string{path}}
	if err := i.begin(ctx, o.base, o.suite); err != nil {
		return err
	}
	if err := i.packAgent(); err != nil {
		return err
	}
	for _, in := range stages[len(stages)-1].Instructions {
		if err := i.do(ctx, in); err != nil {
			return fmt.Errorf("%s %s: %w", in.Word, in.Args, err)
		}
	}
	return i.live(ctx)
}
