package agentdir_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
)

// elf is the header of a program for a machine.
func elf(machine uint16) []byte {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(head[18:], machine)
	return head
}

var machines = map[string]uint16{"amd64": 0x3e, "arm64": 0xb7, "arm": 0x28}

// installed makes an agent's directory with this program as its listener.
func installed(t *testing.T, program []byte, mode os.FileMode) agentdir.Dir {
	t.Helper()
	f := agentdir.Dir{Root: t.TempDir()}
	mkdir(t, filepath.Join(f.Root, "bin"))
	put(t, f.Listener(), program, mode)
	return f
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

func TestCheckAccepts(t *testing.T) {
	ours := elf(machines[runtime.GOARCH])
	for name, f := range map[string]agentdir.Dir{
		"the usual":    installed(t, ours, 0o755),
		"a script":     installed(t, []byte("#!/bin/sh\n"), 0o755),
		"a short file": installed(t, []byte("x"), 0o711),
		"after an update, with bin a link": func() agentdir.Dir {
			f := installed(t, ours, 0o755)
			rename(t, filepath.Join(f.Root, "bin"), filepath.Join(f.Root, "bin.4.273.0"))
			link(t, filepath.Join(f.Root, "bin.4.273.0"), filepath.Join(f.Root, "bin"))
			return f
		}(),
		"by way of a link": func() agentdir.Dir {
			to := filepath.Join(t.TempDir(), "azp")
			link(t, installed(t, ours, 0o755).Root, to)
			return agentdir.Dir{Root: to}
		}(),
	} {
		if err := f.Check("_work"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(f.Root, ".azptend-*")); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestCheckRefuses(t *testing.T) {
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	folder := installed(t, nil, 0o755)
	if err := os.Remove(folder.Listener()); err != nil {
		t.Fatal(err)
	}
	mkdir(t, folder.Listener())
	file := agentdir.Dir{Root: filepath.Join(installed(t, nil, 0o755).Root, "bin", "Agent.Listener")}
	linked := agentdir.Dir{Root: t.TempDir()}
	home := installed(t, elf(machines[runtime.GOARCH]), 0o755)
	link(t, filepath.Join(home.Root, "bin"), filepath.Join(linked.Root, "bin"))
	obstructed := installed(t, elf(machines[runtime.GOARCH]), 0o755)
	if err := os.WriteFile(filepath.Join(obstructed.Root, "_work"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		folder    agentdir.Dir
		why, hint string
	}{
		{"a relative path", agentdir.Dir{Root: "azp"}, "not an absolute path", "AZP_AGENT_DIR"},
		{"no path", agentdir.Dir{}, "not an absolute path", "AZP_AGENT_DIR"},
		{"an empty folder", agentdir.Dir{Root: t.TempDir()}, "bin/Agent.Listener does not exist", "azptend install"},
		{"a file", file, "not a directory", "readable"},
		{"a folder for a program", folder, "not executable", "file modes"},
		{"no right to run it", installed(t, elf(0x3e), 0o644), "not executable", "file modes"},
		{"another machine's", installed(t, elf(machines[other]), 0o755), "is built for " + other + ", and this machine is " + runtime.GOARCH, "for this platform"},
		{"a machine nobody has", installed(t, elf(0x1234), 0o755), "is built for unknown (0x1234)", "for this platform"},
		{"a link to another's bin", linked, "would look for its files there", "set AZP_AGENT_DIR (--agent-dir) to " + home.Root},
		{"a work folder that is a file", obstructed, "_work cannot be written to: not a directory", "writable"},
	} {
		t.Run(tt.name, func(t *testing.T) { isUnfit(t, tt.folder.Check("_work"), tt.why, tt.hint) })
	}
}

func TestCheckVersion(t *testing.T) {
	f := agentdir.Dir{Root: "/azp"}
	for _, version := range []string{"4.273.0", "99.999.9", "5.0.0\n", "\r\n4.1.2 "} {
		if got, err := f.CheckVersion(version, 0); err != nil || got == "" || got[len(got)-1] < '0' {
			t.Errorf("%q: %q, %v", version, got, err)
		}
	}
	for _, text := range []string{"", "4.273", "4.273.0.1", "v4.273.0", "4..0", "4.273.x", "Unhandled exception. System.IO", "4.273.0\n4.273.0"} {
		_, err := f.CheckVersion(text, 0)
		isUnfit(t, err, "which is not a version", "this is the agent's listener")
	}
	_, err := f.CheckVersion("Couldn't find a valid ICU package", 134)
	isUnfit(t, err, "exits with code 134", "libicu")
}
