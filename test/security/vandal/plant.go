package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// plant replaces a path with the form. What needs a running process stays as long as this
// process runs.
func (v *vandal) plant(path, form string) error {
	if err := os.RemoveAll(path); err != nil {
		// A directory of another user can still be moved away.
		_ = os.Rename(path, path+".moved")
	}
	switch form {
	case fifo:
		return syscall.Mkfifo(path, 0o666)
	case zero:
		return os.Symlink("/dev/zero", path)
	case loop:
		return os.Symlink(filepath.Base(path), path)
	case silentPipe:
		return v.plantPipe(path)
	case sparse:
		return v.plantSparse(path)
	case folder:
		return errors.Join(os.Mkdir(path, 0o755), os.WriteFile(filepath.Join(path, "file"), []byte("vandal\n"), 0o644))
	case socket:
		return v.plantSocket(path)
	case leased:
		return v.plantLease(path)
	case locked:
		return errors.Join(os.WriteFile(path, []byte("vandal\n"), 0o644), os.Chmod(path, 0))
	case alternating:
		return v.plantAlternating(path)
	case rootsDirectory:
		return os.Symlink(filepath.Join(v.Dir, "victim"), path)
	case "gone":
		return nil
	case "file of lies":
		lies := strings.Repeat("MessageReceived_AgentRefresh:x\nMessageReceived_PipelineAgentJobRequest:x\nSessionCreated:x\n", 20_000)
		return os.WriteFile(path, []byte(lies), 0o644)
	case "file that grows":
		return v.plantGrowing(path)
	case "endless output":
		return os.WriteFile(path, []byte("#!/bin/sh\nwhile :; do echo "+noise+"; done\n"), 0o755)
	case "never ends":
		return os.WriteFile(path, []byte("#!/bin/sh\ntrap '' INT TERM HUP\nexec sleep 300\n"), 0o755)
	case "exits 3":
		return os.WriteFile(path, []byte("#!/bin/sh\n[ \"$1\" = --version ] && { echo 5.999.0; exit 0; }\nexit 3\n"), 0o755)
	}
	return fmt.Errorf("there is no form %q", form)
}

// rootsDirectory is a link to a directory that jobs must not be able to change
// through azptend.
const rootsDirectory = "link to a directory of root"

// plantPipe links to a pipe that this process keeps open and never writes to: opening it
// succeeds, and reading blocks.
func (v *vandal) plantPipe(path string) error {
	pipe := filepath.Join(v.Dir, "tmp", fmt.Sprintf("pipe-%d", time.Now().UnixNano()))
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		return err
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	v.held = append(v.held, f)
	return os.Symlink(pipe, path)
}

func (v *vandal) plantSparse(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o755), f.Truncate(8<<40), f.Close())
}

// plantSocket binds to a relative name, because the length of a socket's path is limited.
func (v *vandal) plantSocket(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := os.Chdir(filepath.Dir(path)); err != nil {
		return err
	}
	defer func() { _ = os.Chdir("/") }()
	return syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Base(path)})
}

// plantLease makes a file whose opening blocks until this process gives up its lease, which
// it never does (fcntl(2), F_SETLEASE).
func (v *vandal) plantLease(path string) error {
	temp := path + ".lease"
	if err := os.WriteFile(temp, []byte("vandal\n"), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	v.held = append(v.held, f)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return fmt.Errorf("cannot take a lease: %w", err)
	}
	return os.Rename(temp, path)
}

// plantGrowing appends without end, and truncates the file when it gets large, because
// cells share the disk.
func (v *vandal) plantGrowing(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	go func() {
		chunk := []byte(strings.Repeat("SessionCreated:x\n", 4<<10))
		for n := 0; ; n++ {
			if _, err := f.Write(chunk); err != nil {
				return
			}
			if n%256 == 255 {
				_ = f.Truncate(0)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return nil
}

// plantAlternating replaces a regular file with a FIFO and back, without end.
func (v *vandal) plantAlternating(path string) error {
	temp := path + ".turn"
	turn := func(n int) error {
		if n%2 == 0 {
			return errors.Join(os.WriteFile(temp, []byte("vandal\n"), 0o644), os.Rename(temp, path))
		}
		return errors.Join(syscall.Mkfifo(temp, 0o666), os.Rename(temp, path))
	}
	err := turn(0)
	go func() {
		for n := 1; turn(n) == nil; n++ {
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return err
}

// manyFiles makes n small files.
func manyFiles(dir, pattern string, n int) error {
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(pattern, i)), []byte("vandal\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// nestedDirectories makes n directories inside each other. The path gets longer than
// PATH_MAX, so it uses descriptors.
func nestedDirectories(dir string, n int) error {
	at, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for range n {
		if err := unix.Mkdirat(at, "d", 0o755); err != nil {
			return err
		}
		next, err := unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		unix.Close(at)
		at = next
	}
	return unix.Close(at)
}

// fakeControlSocket answers at the control socket's path that all is well.
func (v *vandal) fakeControlSocket(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	l, err := net.Listen("unix", "control.sock")
	if err != nil {
		return err
	}
	_ = os.Chmod("control.sock", 0o777)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4096))
				fmt.Fprintln(conn, `{"v":1,"status":{"phase":"idle","ready":true,"agent":"cell","pool":"Default","registration":"registered","job":"none"}}`)
			}()
		}
	}()
	return nil
}
