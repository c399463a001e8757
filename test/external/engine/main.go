// Command engine builds the images of deploy/images with real container engines and
// runs azptend in their containers. Podman and Docker come from Debian's packages.
// The images' bases come from debootstrap and from Go's module proxy, so no registry
// is needed. Each scene is one situation in a container's life, against an emulator
// on loopback, with a fake agent. `make test-engine` runs it, as root.
//
// Both engines keep all they have below the cache directory, and Docker's daemon has
// a socket of its own. Containers use the host's network. At its end, and after
// SIGINT, the program removes its containers and stops the daemon. Images stay, and
// make the next run fast.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
)

type options struct {
	programs launch.Programs
	images   string         // directory of the Dockerfiles
	cache    string         // what a second run uses again
	logs     string         // a directory for each build and scene
	scenes   *regexp.Regexp // names of the scenes to play
	engines  []string
	fresh    bool   // build without the cache of layers
	release  string // directory of what goreleaser made, to install instead
}

func main() {
	o, err := parseFlags()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func parseFlags() (options, error) {
	programs := launch.Flags()
	var o options
	flag.StringVar(&o.images, "images", "deploy/images", "directory of the Dockerfiles")
	flag.StringVar(&o.cache, "cache", "", "directory for what a second run uses again")
	flag.StringVar(&o.logs, "logs", "bin/engine", "directory for the logs of builds and scenes; it is emptied first")
	scenes := flag.String("scenes", "", "play only the scenes whose name matches this regular expression")
	engines := flag.String("engines", "podman,docker", "engines to use")
	flag.StringVar(&o.release, "release", "", "install the archives and packages in this directory, instead of building images and playing scenes")
	flag.BoolVar(&o.fresh, "fresh", false, "build the images without cached layers")
	flag.Parse()
	if o.cache == "" {
		return o, errors.New("cannot start: -cache is not set")
	}
	o.engines = strings.Split(*engines, ",")
	var errs [6]error
	o.programs, errs[0] = programs.Absolute()
	o.images, errs[4] = filepath.Abs(o.images)
	o.cache, errs[1] = filepath.Abs(o.cache)
	o.logs, errs[2] = filepath.Abs(o.logs)
	o.scenes, errs[3] = regexp.Compile(*scenes)
	if o.release != "" {
		o.release, errs[5] = filepath.Abs(o.release)
	}
	return o, errors.Join(errs[:]...)
}

// run prepares the machine and the images, and plays the scenes.
func run(ctx context.Context, o options) (err error) {
	began := time.Now()
	if err := errors.Join(os.RemoveAll(o.logs), os.MkdirAll(o.logs, 0o755), os.MkdirAll(o.cache, 0o755)); err != nil {
		return err
	}
	unlock, err := lock(o.cache)
	if err != nil {
		return err
	}
	defer unlock()
	if err := step("packages", func() error { return installPackages(ctx) }); err != nil {
		return err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	var bases []base
	if err := step("base images", func() error { bases, err = makeBases(ctx, o, s); return err }); err != nil {
		return err
	}
	engines, stop, err := startEngines(ctx, o)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	if o.release != "" {
		return installRelease(ctx, o, engines, bases)
	}
	for _, e := range engines {
		if err := buildImages(ctx, o, s, e, bases); err != nil {
			return err
		}
	}
	if err := play(ctx, o, engines); err != nil {
		return err
	}
	fmt.Printf("all passed in %s; logs are in %s\n", since(began), o.logs)
	return nil
}

// step runs one part and prints how long it took.
func step(what string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		fmt.Printf("FAIL %s after %s\n", what, since(began))
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("ok   %s in %s\n", what, since(began))
	return nil
}

func since(began time.Time) time.Duration {
	return time.Since(began).Round(100 * time.Millisecond)
}

// lock keeps a second run out of the cache directory.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot use %s: another run does", dir)
	}
	return func() { f.Close() }, nil
}
