package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/azptend/azptend/test/internal/dockerfile"
	"github.com/azptend/azptend/test/internal/launch"
)

// path is what Docker gives where an image says nothing.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// image is the chroot, and what instructions have said so far.
type image struct {
	programs   launch.Programs
	root       string
	args       map[string]string // what the build is given
	environ    []string
	user       string // "": root
	entrypoint []string
	health     []string
	steps      int
}

// begin fills the chroot with Debian's smallest.
func (i *image) begin(ctx context.Context, base, suite string) error {
	if _, err := os.Stat(filepath.Join(base, "etc/debian_version")); err != nil {
		fmt.Printf("FROM debian: debootstrap --variant=minbase %s\n", suite)
		if err := loud(exec.CommandContext(ctx, "debootstrap", "--variant=minbase", suite, base)); err != nil {
			return fmt.Errorf("cannot make a Debian: %w", err)
		}
	}
	return loud(exec.CommandContext(ctx, "cp", "-a", base, i.root))
}

// packAgent makes an archive of the fake agent, which azptend install gets in place
// of a download; the step itself stays as it is written.
func (i *image) packAgent() error {
	sum, err := i.programs.Pack(filepath.Join(i.root, "tmp/agent.tar.gz"))
	i.args["AGENT_VERSION"], i.args["AGENT_SHA256"], i.args["AZP_AGENT_FILE"] = launch.AgentVersion, sum, "/tmp/agent.tar.gz"
	return err
}

// do does one instruction as an image's build would.
func (i *image) do(ctx context.Context, in dockerfile.Instruction) error {
	i.steps++
	fmt.Printf("== %s %s\n", in.Word, in.Args)
	switch in.Word {
	case "RUN":
		environ := i.environ
		for name, value := range i.args {
			environ = append(environ, name+"="+value)
		}
		return loud(i.command(ctx, environ, "/bin/sh", "-c", in.Args))
	case "COPY":
		return i.copy(in)
	case "USER":
		i.user = in.Args
	case "ENV":
		i.environ = append(i.environ, in.Args)
	case "ARG":
		if _, given := i.args[in.Args]; !given {
			return errors.New("nobody gives it")
		}
	case "ENTRYPOINT":
		i.entrypoint = in.List
	case "HEALTHCHECK":
		i.health = in.List
	default:
		return errors.New("this instruction is not known here")
	}
	return nil
}

// copy copies azptend, which is all that ours copy.
func (i *image) copy(in dockerfile.Instruction) error {
	options, files := in.Options()
	if len(files) != 2 || files[0] != "/azptend" || options["chown"] != "root:root" {
		return errors.New("only azptend is copied here, for root")
	}
	mode, err := strconv.ParseUint(options["chmod"], 8, 32)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(i.programs.Azptend)
	if err != nil {
		return err
	}
	to := filepath.Join(i.root, files[1])
	if err := os.WriteFile(to, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(to, os.FileMode(mode))
}

// command is a program in the chroot, as PID 1 of process ids of its own, as it
// would be in a container.
func (i *image) command(ctx context.Context, environ []string, program ...string) *exec.Cmd {
	user := i.user
	if user == "" {
		user = "0:0"
	}
	words := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc=" + filepath.Join(i.root, "proc"),
		"chroot", "--userspec=" + user, i.root, "/usr/bin/env", "-i"}
	words = append(append(words, environ...), program...)
	return exec.CommandContext(ctx, "unshare", words...)
}

// loud runs a command, and shows what it says only if it fails.
func loud(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
