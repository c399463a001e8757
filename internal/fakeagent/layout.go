package fakeagent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// The names that decide what the program is.
const (
	listenerName = "Agent.Listener"
	workerName   = "Agent.Worker"
)

// The versions it gives itself, in the form major.minor.patch that the server
// parses (2.2). Microsoft's minors are far below 999.
const (
	versionV4 = "4.999.0"
	Version   = "5.999.0"
)

// versionFile stands next to the program once an update was played, and holds
// the version the server asked for.
const versionFile = "fakeagent-version"

// IsInvokedAs says whether a program called by this name is to be the fake agent.
func IsInvokedAs(argv0 string) bool {
	name := filepath.Base(argv0)
	return name == listenerName || name == workerName
}

// LayOut makes dir an agent's folder: executable becomes bin/Agent.Listener and
// bin/Agent.Worker, copied and never linked, for a link would make its target's
// folder the root (3.9). Each file appears whole or not at all, so LayOut may be
// repeated and may meet a running listener.
func LayOut(dir, executable string) error {
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "externals"), 0o755), copyPrograms(filepath.Join(dir, "bin"), executable))
	for name, content := range textFiles() {
		if err == nil {
			err = writeAtomically(filepath.Join(dir, name), strings.NewReader(content), 0o755)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot lay out the fake agent: %w", err)
	}
	return nil
}

// Pack makes the archive (.tar.gz) of such a folder, as azptend install unpacks it.
func Pack(executable string) ([]byte, error) {
	program, err := os.ReadFile(executable)
	if err != nil {
		return nil, fmt.Errorf("cannot pack the fake agent: %w", err)
	}
	files := map[string][]byte{"bin/" + listenerName: program, "bin/" + workerName: program}
	for name, content := range textFiles() {
		files[name] = []byte(content)
	}
	var archive bytes.Buffer
	zipped, _ := gzip.NewWriterLevel(&archive, gzip.BestSpeed) // the level is a valid one
	packed := tar.NewWriter(zipped)
	err = packed.WriteHeader(&tar.Header{Name: "externals/", Mode: 0o755, Typeflag: tar.TypeDir})
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err == nil {
			err = packed.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))})
		}
		if err == nil {
			_, err = packed.Write(files[name])
		}
	}
	if err = errors.Join(err, packed.Close(), zipped.Close()); err != nil {
		return nil, fmt.Errorf("cannot pack the fake agent: %w", err)
	}
	return archive.Bytes(), nil
}

// Platform is the platform of this program in the names of agent packages; "" if there is no such package.
func Platform() string {
	return map[string]string{"linux/amd64": "linux-x64", "linux/arm64": "linux-arm64", "darwin/amd64": "osx-x64",
		"darwin/arm64": "osx-arm64"}[runtime.GOOS+"/"+runtime.GOARCH]
}

// textFiles are the files by which scripts and people know an agent's folder (8).
func textFiles() map[string]string {
	return map[string]string{
		"license.html": "<p>This directory holds azptend's fake agent, Apache-2.0. It is not Microsoft's agent.</p>\n",
		"run.sh": "#!/bin/sh\n# azptend's fake agent.\n" +
			"exec \"$(dirname \"$0\")/bin/Agent.Listener\" run \"$@\"\n",
	}
}

// copyPrograms makes dir and copies a program there, once as the listener and once as the worker.
func copyPrograms(dir, program string) error {
	err := os.MkdirAll(dir, 0o755)
	for _, name := range []string{listenerName, workerName} {
		if err == nil {
			err = copyFile(filepath.Join(dir, name), program)
		}
	}
	return err
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return writeAtomically(to, src, 0o755)
}

// writeAtomically writes a file beside its place and moves it there. The file may be a
// program. This process may not fork while it is open for writing: the child would
// hold it open until it executes, and starting it would fail with "text file busy".
func writeAtomically(to string, content io.Reader, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".fakeagent-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = io.Copy(tmp, content)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	return err
}

// versionOf is what --version prints.
func versionOf(bin, plays string) string {
	if b, err := os.ReadFile(filepath.Join(bin, versionFile)); err == nil {
		return strings.TrimSpace(string(b))
	}
	if plays == "v4" {
		return versionV4
	}
	return Version
}
