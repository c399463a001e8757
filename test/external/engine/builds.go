package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/test/internal/launch"
)

// image is one build.
type image struct {
	name       string
	dockerfile string
	args       []string
}

// images are the builds of each engine. Alpine is not among them: its packages are
// not Debian's, and no mirror of them is on loopback.
func images(s *server) []image {
	agent := []string{"AGENT_VERSION=" + launch.AgentVersion, "AGENT_SHA256=" + s.agentSum}
	return []image{
		{"agent:13", "debian.Dockerfile", agent},
		{"agent:12", "debian.Dockerfile", append([]string{"DEBIAN=12"}, agent...)},
		{"azptend-keep", "keep.Dockerfile", nil},
		{"azptend", "azptend.Dockerfile", nil},
	}
}

// builder is one way in which an engine builds.
type builder struct {
	name   string
	suffix string // of its tags; scenes use images without one
	args   []string
	env    []string
}

// tag is an image's name. Each builder has its own: an image that loses its tag to
// another one is pruned, and then its layers are not in the cache of the next run.
func (b builder) tag(name string) string {
	switch {
	case b.suffix == "":
		return name
	case strings.Contains(name, ":"):
		return name + "-" + b.suffix
	}
	return name + ":" + b.suffix
}

// builders are the engine's ways.
func (e *engine) builders() []builder {
	if e.name == "podman" {
		return []builder{{"podman", "", []string{"--format", "docker", "--pull=never", "--cgroup-parent", "/" + parent}, nil}}
	}
	return []builder{
		{"docker-classic", "classic", []string{"--cgroup-parent", parent}, []string{"DOCKER_BUILDKIT=0"}}, // as az acr build does
		{"docker-buildkit", "", []string{"--progress=plain"}, []string{"DOCKER_BUILDKIT=1"}},
	}
}

// buildImages builds all images in each of the engine's ways, and checks them.
func buildImages(ctx context.Context, o options, s *server, e *engine, bases []base) error {
	if err := step("base images in "+e.name, func() error { return e.importBases(ctx, bases) }); err != nil {
		return err
	}
	context, err := os.MkdirTemp(o.cache, "context-*") // nothing is copied from it
	if err != nil {
		return err
	}
	defer os.RemoveAll(context)
	for _, b := range e.builders() {
		// The stage is tagged, so that pruning does not take it out of the cache.
		stage := image{"azptend-build", "azptend.Dockerfile", nil}
		if err := e.build(ctx, o, s, b, stage, context, "--target", "build"); err != nil {
			return err
		}
		for _, i := range images(s) {
			if err := e.build(ctx, o, s, b, i, context); err != nil {
				return err
			}
		}
		if err := step("images of "+b.name+" are as they say", func() error { return e.checkImages(ctx, b) }); err != nil {
			return err
		}
	}
	return nil
}

// build builds one image.
func (e *engine) build(ctx context.Context, o options, s *server, b builder, i image, context string, more ...string) error {
	args := append([]string{"build", "-t", b.tag(i.name), "-f", filepath.Join(o.images, i.dockerfile), "--network", "host"}, b.args...)
	for _, host := range hosts {
		args = append(args, "--add-host", host+":"+address)
	}
	for _, arg := range append([]string{"AZPTEND_REF=" + s.branch}, i.args...) {
		args = append(args, "--build-arg", arg)
	}
	if o.fresh {
		args = append(args, "--no-cache")
	}
	c := e.command(ctx, append(append(args, more...), context)...)
	c.Env = append(c.Env, b.env...)
	log, err := os.Create(filepath.Join(o.logs, strings.NewReplacer("/", "-", ":", "-").Replace("build-"+b.name+"-"+i.name)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	return step("build "+i.name+" by "+b.name, func() error {
		if err := c.Run(); err != nil {
			return fmt.Errorf("%w; see %s", err, log.Name())
		}
		return nil
	})
}

// checkImages checks what a build alone can show.
func (e *engine) checkImages(ctx context.Context, b builder) error {
	for image, release := range map[string]string{"agent:13": "13", "agent:12": "12"} {
		health, err := e.do(ctx, "image", "inspect", "-f", "{{json .}}", b.tag(image))
		if err != nil {
			return err
		}
		if !strings.Contains(health, `"healthcheck"`) || !strings.Contains(health, `"10001:10001"`) {
			return fmt.Errorf("%s has no HEALTHCHECK or another user: %s", image, health)
		}
		const look = `. /etc/os-release; echo "$VERSION_ID $(stat -c '%a %U:%G' /usr/local/bin/azptend) $(id -u):$(id -g)"; ls /usr/lib/*/libicuuc.so.* >/dev/null`
		out, err := e.do(ctx, "run", "--rm", "--network", "host", "--entrypoint", "sh", b.tag(image), "-c", look)
		if want := release + " 711 root:root 10001:10001"; err != nil || out != want {
			return fmt.Errorf("%s: %q, not %q, %v", image, out, want, err)
		}
	}
	for _, image := range []string{"azptend-keep", "azptend"} {
		if out, err := e.do(ctx, "run", "--rm", "--network", "host", b.tag(image), "version"); err != nil || !strings.Contains(out, "azptend") {
			return fmt.Errorf("%s: %q, %v", image, out, err)
		}
	}
	return e.copyFrom(ctx, b)
}

// copyFrom copies azptend out of its image, as the README tells: owner and mode are
// those of the image.
func (e *engine) copyFrom(ctx context.Context, b builder) error {
	dir, err := os.MkdirTemp("", "azptend-engine-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := "FROM debian:13-slim\nCOPY --from=" + b.tag("azptend") + " /azptend /usr/local/bin/azptend\nRUN stat -c '%a %U:%G' /usr/local/bin/azptend > /mode\nUSER 10001\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		return err
	}
	c := e.command(ctx, append(append([]string{"build", "-t", b.tag("copied"), "--network", "host"}, b.args...), dir)...)
	c.Env = append(c.Env, b.env...)
	if _, err := output(c); err != nil {
		return err
	}
	out, err := e.do(ctx, "run", "--rm", "--network", "host", b.tag("copied"), "sh", "-c", "cat /mode; azptend version")
	if err != nil || !strings.HasPrefix(out, "711 root:root\nazptend") {
		return fmt.Errorf("COPY --from=azptend: %q, %v", out, err)
	}
	return nil
}
