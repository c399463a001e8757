package mslistener_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broken fails to start processes.
type broken struct{ err error }

func (b broken) Start(context.Context, proc.Spec) (mslistener.Process, error) { return nil, b.err }

func (b broken) Output(context.Context, proc.Spec) (string, proc.Status, error) {
	return "", proc.Status{}, b.err
}

// TestCannotStart: a program that cannot be executed is a DirError, and too many processes
// is not. No file is left.
func TestCannotStart(t *testing.T) {
	for _, tt := range []struct {
		err     error
		isDir   bool
		written bool
	}{
		{syscall.ENOENT, true, true},
		{syscall.ENOEXEC, true, true},
		{syscall.EAGAIN, false, true},
		{errors.New("the files cannot be written"), false, false},
	} {
		dir := agentdir.Dir{Root: t.TempDir()}
		o := mslistener.Options{Dir: dir, Processes: broken{tt.err}}
		_, err := mslistener.Start(t.Context(), o, mslistener.Files{Dir: dir}, func(string) error {
			if !tt.written {
				return tt.err
			}
			return nil
		})
		if !errors.Is(err, tt.err) || errors.As(err, new(*agentdir.DirError)) != tt.isDir {
			t.Errorf("Start: %v: error is %v", tt.err, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir.Root, ".azptend*")); len(left) > 0 {
			t.Errorf("Start leaves %v", left)
		}
		_, err = mslistener.Version(t.Context(), o)
		if !errors.Is(err, tt.err) || errors.As(err, new(*agentdir.DirError)) != tt.isDir {
			t.Errorf("Version: %v: error is %v", tt.err, err)
		}
	}
}

// printing starts programs that print a text and exit with 0.
type printing struct {
	broken
	spec   *proc.Spec
	output string
}

func (p printing) Output(_ context.Context, s proc.Spec) (string, proc.Status, error) {
	*p.spec = s
	return p.output, proc.Status{}, nil
}

// TestVersion: the listener is called with the environment that it has later.
func TestVersion(t *testing.T) {
	var spec proc.Spec
	dir := agentdir.Dir{Root: "/azp", LogDir: "/logs"}
	version, err := mslistener.Version(t.Context(), mslistener.Options{
		Dir: dir, Environ: []string{"A=b"}, NoUpdate: true, Output: &mslistener.Output{Stdout: os.Stdin, Stderr: os.Stderr},
		Processes: printing{spec: &spec, output: "4.273.0\n"},
	})
	if version != "4.273.0" || err != nil {
		t.Errorf("%q, %v", version, err)
	}
	want := []string{"A=b", "agent.disableupdate=true", "AGENT_DIAGLOGPATH=/logs"}
	if len(spec.Env) != len(want) || spec.Env[0] != want[0] || spec.Env[1] != want[1] || spec.Env[2] != want[2] {
		t.Errorf("environment is %v", spec.Env)
	}
	if spec.Stdout != nil || spec.Stderr != os.Stderr || spec.Path != "/azp/bin/Agent.Listener" {
		t.Errorf("called %+v", spec)
	}
}
