package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// output duplicates the listener's standard output. It is the same open file description,
// so its flags are shared.
func (v *vandal) output() (*os.File, error) {
	pidfd, err := unix.PidfdOpen(v.Listener, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 1, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot take the listener's output: %w", err)
	}
	return os.NewFile(uintptr(fd), "output"), nil
}

// noiseLine is 1 KiB.
var noiseLine = []byte(strings.Repeat(noise+" ", 1023/(len(noise)+1)) + "\n")

// noiseBytes is how much noise is written: 100 MB.
const noiseBytes = 100 << 20

func (v *vandal) floodLog() error {
	f, err := v.output()
	if err != nil {
		return err
	}
	for n := 0; n < noiseBytes; {
		written, err := f.Write(noiseLine)
		if err != nil {
			return err
		}
		n += written
	}
	return nil
}

// fillOutput writes until the pipe is full, or azptend has read all of it.
func (v *vandal) fillOutput() error {
	f, err := v.output()
	if err != nil {
		return err
	}
	wrote := make(chan int)
	go func() {
		for n := 0; n < noiseBytes; {
			written, err := f.Write(noiseLine)
			if err != nil {
				break
			}
			n += written
			wrote <- n
		}
		close(wrote)
	}()
	for {
		select {
		case _, more := <-wrote:
			if !more {
				return nil
			}
		case <-time.After(time.Second): // the pipe is full
			return nil
		}
	}
}

func (v *vandal) unblockOutput() error {
	f, err := v.output()
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(int(f.Fd()), true); err != nil {
		return err
	}
	for range 10_000 {
		_, _ = syscall.Write(int(f.Fd()), noiseLine)
	}
	return nil
}
