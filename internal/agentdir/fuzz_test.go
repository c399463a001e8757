package agentdir_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
)

// FuzzCheckVersion: for any output, a version is one that the server accepts
// (agent-protocol.md 2.2), and an error is one line.
func FuzzCheckVersion(f *testing.F) {
	for _, s := range []string{"5.282.3\n", "5.282.3", "\xef\xbb\xbf5.282.3\r\n", "", "5.282", "5.282.3.1", "4..0", "5.282.3-pre", "４.1.1",
		"You must install .NET\nto run this", "5.282.3\n5.283.0", strings.Repeat("9", 70000)} {
		f.Add(s, 0)
	}
	f.Add("5.282.3", 139)
	three := regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	f.Fuzz(func(t *testing.T, output string, code int) {
		version, err := agentdir.Dir{Root: "/azp"}.CheckVersion(output, code)
		switch {
		case err == nil && (code != 0 || !three.MatchString(version) || strings.TrimSpace(output) != version):
			t.Errorf("%q with code %d is taken for version %q", output, code, version)
		case err != nil && (version != "" || strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 600):
			t.Errorf("%q with code %d: %q, %v", output, code, version, err)
		}
	})
}

// FuzzServerURL: whatever address the server answers, the listener, and with it the agent's
// key, connects to the host in the settings.
func FuzzServerURL(f *testing.F) {
	for _, told := range []string{"", "https://dev.azure.com/org/", "https://thief.example/org", "http://dev.azure.com/org", "/org", "//thief.example", "https://dev.azure.com@thief.example/", "::", "\x00"} {
		f.Add("https://dev.azure.com/org", told)
		f.Add("http://tfs:8080/tfs/Default", told)
	}
	f.Fuzz(func(t *testing.T, asked, told string) {
		a, err := url.Parse(asked)
		if err != nil || a.Host == "" {
			return // config refuses it
		}
		got, err := url.Parse(agentdir.ServerURL(asked, told))
		if err != nil || !strings.EqualFold(got.Host, a.Host) || !strings.EqualFold(got.Scheme, a.Scheme) {
			t.Errorf("asked %q, told %q: goes to %v, %v", asked, told, got, err)
		}
	})
}

// FuzzListener: for any content of bin/Agent.Listener, the checks return a result.
func FuzzListener(f *testing.F) {
	elf := func(machine byte) []byte {
		return append([]byte("\x7fELF\x02\x01\x01"), append(make([]byte, 11), machine, 0, 0, 0)...)
	}
	for _, b := range [][]byte{nil, []byte("#!/bin/sh\n"), []byte("\x7fELF"), elf(0x3e), elf(0xb7), elf(0x28), elf(0xff), []byte("MZ"), []byte("\xcf\xfa\xed\xfe")} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		root, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		folder := agentdir.Dir{Root: root}
		if err := os.Mkdir(filepath.Dir(folder.Listener()), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder.Listener(), program, 0o755); err != nil {
			t.Fatal(err)
		}
		err = folder.Check("_work")
		if isELF := len(program) >= 20 && string(program[:4]) == "\x7fELF"; !isELF && err != nil {
			t.Errorf("%q is no program for another machine: %v", program, err)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || !strings.Contains(err.Error(), "built for")) {
			t.Errorf("%q: %v", program, err)
		}
	})
}
