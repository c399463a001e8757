package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/azptend/azptend/test/internal/dockerfile"
)

// base is an image that a Dockerfile is FROM, as an archive of its files.
type base struct {
	image   string // "debian:13-slim"
	suite   string // Debian's name for the version
	include string // more packages
	golang  string // the version of Go in it; "" is none
	archive string
	changes []string // what the image sets, as instructions of a Dockerfile
}

// makeBases makes the archives that the cache directory lacks.
func makeBases(ctx context.Context, o options, s *server) ([]base, error) {
	golang, err := goVersion(filepath.Join(o.images, "debian.Dockerfile"))
	if err != nil {
		return nil, err
	}
	shell := []string{`CMD ["bash"]`}
	bases := []base{
		{image: "debian:12-slim", suite: "bookworm", changes: shell},
		{image: "debian:13-slim", suite: "trixie", changes: shell},
		{image: "golang:" + minor(golang), suite: "trixie", include: "ca-certificates,git", golang: golang, changes: []string{
			"ENV GOPATH=/go", "ENV GOTOOLCHAIN=local", "WORKDIR /go",
			"ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
	}
	if o.release != "" {
		bases = bases[:2] // nothing is compiled
	}
	authority, err := os.ReadFile(s.authority.file)
	if err != nil {
		return nil, err
	}
	for i := range bases {
		b := &bases[i]
		name := sumOf(b.suite, b.include, b.golang, string(authority))
		b.archive = filepath.Join(o.cache, "bases", strings.ReplaceAll(b.image, ":", "-")+"-"+name+".tar")
		if _, err := os.Stat(b.archive); err == nil {
			continue
		}
		if err := step(b.image, func() error { return b.make(ctx, o.cache, authority) }); err != nil {
			return nil, err
		}
	}
	return bases, nil
}

// make fills a directory and packs it.
func (b *base) make(ctx context.Context, cache string, authority []byte) error {
	debs, root := filepath.Join(cache, "debs"), b.archive+".root"
	if err := os.RemoveAll(root); err != nil { // a run that was interrupted may have left one
		return err
	}
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(root)
	args := []string{"--variant=minbase", "--cache-dir=" + debs}
	if b.include != "" {
		args = append(args, "--include="+b.include)
	}
	// It mounts /proc and /sys in the root. In a mount namespace of its own they are
	// gone when it ends, also when it is killed.
	bootstrap := system(ctx, "debootstrap", append(args, b.suite, root)...)
	bootstrap.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	if _, err := output(bootstrap); err != nil {
		return fmt.Errorf("cannot make %s: %w", b.image, err)
	}
	if err := b.complete(ctx, root, authority); err != nil {
		return err
	}
	part := b.archive + ".part"
	if _, err := output(system(ctx, "tar", "-C", root, "--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb",
		"--exclude=./var/lib/apt/lists/*", "--exclude=./usr/share/doc/*", "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*",
		"-cf", part, ".")); err != nil {
		return err
	}
	return os.Rename(part, b.archive)
}

// complete adds the CA, and Go.
func (b *base) complete(ctx context.Context, root string, authority []byte) error {
	trusted := filepath.Join(root, "usr/local/share/ca-certificates")
	if err := os.MkdirAll(trusted, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(trusted, "engine-test.crt"), authority, 0o644); err != nil {
		return err
	}
	if b.golang == "" {
		return nil // its Dockerfile installs ca-certificates, which reads the file then
	}
	if _, err := output(system(ctx, "chroot", root, "update-ca-certificates")); err != nil {
		return err
	}
	return addGo(ctx, b.golang, filepath.Join(root, "usr/local/go"))
}

// goVersion is the newest Go that is known here of the minor version that a
// Dockerfile is FROM.
func goVersion(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	stages, err := dockerfile.Parse(string(b))
	if err != nil {
		return "", err
	}
	wanted, is := strings.CutPrefix(stages[0].From, "golang:")
	if !is {
		return "", fmt.Errorf("cannot read %s: its first stage is FROM %s, not from golang", file, stages[0].From)
	}
	if ours := strings.TrimPrefix(runtime.Version(), "go"); minor(ours) == wanted {
		return ours, nil
	}
	return wanted + ".0", nil
}

// minor is "1.26" of "1.26.8".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// addGo copies a Go toolchain out of the module proxy. Modules have no mode bits, so
// its programs are made executable.
func addGo(ctx context.Context, version, to string) error {
	get := tool(ctx, "go", "mod", "download", "-json", "golang.org/toolchain@v0.0.1-go"+version+".linux-"+runtime.GOARCH)
	get.Dir = os.TempDir() // no module's directory
	out, err := output(get)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return err
	}
	if _, err := output(system(ctx, "cp", "-r", module.Dir, to)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(path, to+"/bin/") || strings.HasPrefix(path, to+"/pkg/tool/") {
			return os.Chmod(path, 0o755)
		}
		return nil
	})
}

// importBases makes the images of the archives, unless the engine has them.
func (e *engine) importBases(ctx context.Context, bases []base) error {
	for _, b := range bases {
		label := filepath.Base(b.archive)
		if has, err := e.do(ctx, "image", "inspect", "-f", "{{json .Config.Labels}}", b.image); err == nil && strings.Contains(has, label) {
			continue
		}
		args := []string{"import", "-c", "LABEL engine.base=" + label}
		for _, change := range b.changes {
			args = append(args, "-c", change)
		}
		if _, err := e.do(ctx, append(args, b.archive, "docker.io/library/"+b.image)...); err != nil {
			return err
		}
	}
	return nil
}
