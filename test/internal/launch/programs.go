package launch

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/azptend/azptend/internal/fakeagent"
)

// AgentVersion is the version of the fake agent.
const AgentVersion = fakeagent.Version

// Programs are the binaries that a harness runs.
type Programs struct {
	Azptend string // stripped and static, like the released binary
	Lab     string // azptend-lab, which has the fake agent
}

// Flags declares the flags -binary and -lab. Call Absolute after flag.Parse.
func Flags() *Programs {
	p := &Programs{}
	flag.StringVar(&p.Azptend, "binary", "bin/azptend", "the azptend under test: stripped and static, as it is shipped")
	flag.StringVar(&p.Lab, "lab", "bin/azptend-lab", "the azptend-lab that holds the fake agent")
	return p
}

// Absolute makes both paths absolute.
func (p Programs) Absolute() (Programs, error) {
	azptend, err := filepath.Abs(p.Azptend)
	lab, err2 := filepath.Abs(p.Lab)
	return Programs{azptend, lab}, errors.Join(err, err2)
}

// LayOut makes dir the directory of a fake agent.
func (p Programs) LayOut(dir string) error { return fakeagent.LayOut(dir, p.Lab) }

// Pack makes the archive of a fake agent, and returns its SHA-256.
func (p Programs) Pack(to string) (sum string, err error) {
	archive, err := fakeagent.Pack(p.Lab)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(archive)), os.WriteFile(to, archive, 0o644)
}

// BuildPrograms builds both programs of a module into a directory.
func BuildPrograms(module, dir string) (Programs, error) {
	p := Programs{filepath.Join(dir, "azptend"), filepath.Join(dir, "azptend-lab")}
	return p, errors.Join(GoBuild(filepath.Join(module, "cmd/azptend"), p.Azptend), GoBuild(filepath.Join(module, "cmd/azptend-lab"), p.Lab))
}

// WithPrograms builds both programs of a module into a new directory, which other users can
// read, calls run, and removes the directory. It returns the exit code for a TestMain.
// The umask is the usual one from here on: the machine's may hide from other users what
// they are to run and read.
func WithPrograms(module string, run func(Programs) int) int {
	syscall.Umask(0o022)
	dir, err := os.MkdirTemp("", "azptend-test-*")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	var p Programs
	if err == nil {
		p, err = BuildPrograms(module, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(p)
}

// GoBuild builds a program like the released one, static and without the race detector. more are
// arguments of go build.
func GoBuild(program, to string, more ...string) error {
	if !filepath.IsAbs(program) { // a path, and not a package's name
		program = "." + string(filepath.Separator) + program
	}
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", to}, more...)
	cmd := exec.Command("go", append(args, program)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", program, err, out)
	}
	return nil
}
