package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// TestEachPropertyCanGoRed plays cells with an azptend that has one fault, and checks that
// the property about it fails.
func TestEachPropertyCanGoRed(t *testing.T) {
	t.Parallel()
	needs(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		wrong, phase, event, property string
	}{
		{"nothing", "busy", "SIGTERM", ""},
		{"overstays", "idle", "SIGTERM", "azptend ends within the budget"},
		{"never ends", "idle", "SIGTERM", "azptend ends within the budget"},
		{"another code", "idle", "SIGTERM", "the exit code is right"},
		{"cuts the job", "draining", "SIGTERM", "no job is cut while drain budget is left"},
		{"leaves its agent", "idle", "SIGTERM", "no ghost"},
		{"leaves a daemon", "busy", "SIGTERM", "no process stays"},
		{"leaves a file", "idle", "SIGTERM", "no file stays"},
	} {
		t.Run(tt.wrong, func(t *testing.T) {
			t.Parallel()
			suite, err := newSuite(programs, self, "wrong", tt.wrong, programs.Azptend)
			if err != nil {
				t.Fatal(err)
			}
			defer suite.close()
			c := cellOf(t, tt.phase, tt.event)
			f, err := suite.perform(0, c)
			v := judge(c, f, err)
			if tt.property == "" && v.Red() {
				t.Errorf("%s\nit said:\n%s", v, f.said)
			}
			if tt.property != "" && v.Broken[tt.property] == "" {
				t.Errorf("an azptend that %s is not found out\n%s\nit said:\n%s", tt.wrong, v, f.said)
			}
		})
	}
}

// TestGhostsMustBePruned: an agent that is named in the log is still a ghost if azptend prune
// does not remove it.
func TestGhostsMustBePruned(t *testing.T) {
	if why := ghost(cell{}, facts{agents: []int{1}, unpruned: []int{1}}); why == "" {
		t.Error("an agent that stays is no ghost")
	}
	if why := ghost(cell{}, facts{agents: []int{1}}); why != "" {
		t.Error(why)
	}
}

func cellOf(t *testing.T, phase, event string) cell {
	t.Helper()
	cells, _ := possible(allCells())
	i := slices.IndexFunc(cells, func(c cell) bool {
		return c.phase.name == phase && c.event.name == event && c.outcome.fault == nil
	})
	if i < 0 {
		t.Fatalf("there is no cell %s × %s", phase, event)
	}
	return cells[i]
}

// beWrong runs the real azptend with one fault added. It passes on signals and the exit code.
func beWrong(how, program string, args []string) int {
	heard := make(chan os.Signal, 8)
	signal.Notify(heard, syscall.SIGTERM, syscall.SIGINT)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for {
		select {
		case s := <-heard:
			hearWrong(how, cmd.Process.Pid, s.(syscall.Signal))
		case <-ended:
			return endWrong(how, process.ExitCode(cmd.ProcessState))
		}
	}
}

func hearWrong(how string, pid int, s syscall.Signal) {
	if how != "leaves its agent" { // azptend could remove it before it is killed
		_ = syscall.Kill(pid, s)
	}
	switch how {
	case "cuts the job": // at once, and not at the end of the drain's part
		for _, below := range process.Descendants(pid) {
			if program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", below)); filepath.Base(program) == "Agent.Listener" {
				_ = syscall.Kill(below, syscall.SIGINT)
			}
		}
	case "leaves its agent": // and does not name it
		below := process.Descendants(pid)
		for _, p := range append([]int{pid}, below...) {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
	}
}

func endWrong(how string, code int) int {
	switch how {
	case "overstays":
		<-time.After(grace + margin + time.Second)
	case "never ends":
		select {}
	case "another code":
		return code + 1
	case "leaves its agent":
		return 0
	case "leaves a daemon":
		cmd := exec.Command("/bin/sleep", "60")
		cmd.Env = append(os.Environ(), "PATH=/bin")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = cmd.Start()
	case "leaves a file":
		for _, pair := range os.Environ() {
			if dir, is := strings.CutPrefix(pair, "AZP_AGENT_DIR="); is {
				_ = os.WriteFile(filepath.Join(dir, ".azptend-left"), nil, 0o600)
			}
		}
	}
	return code
}
