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

// The names by which the program decides what it is.
const (
	listenerName = "Agent.Listener"
	workerName   = "Agent.Worker"
)

// The fake agent's versions, in the server's format major.minor.patch (2.2). Microsoft's minor
// versions are far below 999.
const (
	versionV4 = "4.999.0"
	Version   = "5.999.0"
)

// versionFile is next to the program after an update, and contains the version that the server
// asked for.
const versionFile = "fakeagent-version"

// IsInvokedAs says whether a program that is started with this name is the fake agent.
func IsInvokedAs(argv0 string) bool {
	name := filepath.Base(argv0)
	return name == listenerName || name == workerName
}

// LayOut makes dir an agent's directory: it copies executable to bin/Agent.Listener and
// bin/Agent.Worker. It does not link them, because with a link the root would be the target's
// directory (3.9). Files are written atomically, so LayOut can be repeated, also while a
// listener runs.
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

// Pack makes the archive (.tar.gz) of such a directory, for azptend install.
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
	zipped, _ := gzip.NewWriterLevel(&archive, gzip.BestSpeed) // the level is valid
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

// textFiles are files by which scripts and people recognise an agent's directory (8).
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

// writeAtomically writes a temporary file and renames it. The file may be a program. This
// process must not fork while the file is open for writing: the child would have it open until
// its exec, and to start it would fail with "text file busy".
func writeAtomically(to string, content io.Reader, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".fakeagent-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it does not exist after success
	_, err = io.Copy(tmp, content)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	return err
}

// versionOf is the output of --version.
func versionOf(bin, plays string) string {
	if b, err := os.ReadFile(filepath.Join(bin, versionFile)); err == nil {
		return strings.TrimSpace(string(b))
	}
	if plays == "v4" {
		return versionV4
	}
	return Version
}
