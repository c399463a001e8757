package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// signalListener signals the job's listener, and never a later process with the same pid.
func (v *vandal) signalListener(s syscall.Signal) error {
	return unix.PidfdSendSignal(v.listener, s, nil, 0)
}

// awaitEnd waits for a process to exit.
func awaitEnd(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// run starts a program in a session of its own and does not wait for it.
func (v *vandal) run(program string, environ []string, args ...string) error {
	c := &exec.Cmd{Path: program, Args: args, Env: environ, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	return c.Start()
}

// copyOf copies a program of the cell's directory to a path in the agent's directory.
func (v *vandal) copyOf(program, to string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyProgram(filepath.Join(v.Dir, program), to))
}

// ancestor returns the pid of the nearest ancestor that runs a program of that name.
func ancestor(name string) (int, error) {
	for pid := os.Getppid(); pid > 1; {
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(program) == name {
			return pid, nil
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if _, err := fmt.Sscan(fields[1], &pid); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("there is no %s above this process", name)
}

// traceListener stops the listener as a debugger does, until this process exits.
func (v *vandal) traceListener() error {
	traced := make(chan error)
	go func() {
		runtime.LockOSThread() // a tracer is a thread
		traced <- syscall.PtraceAttach(v.Listener)
		select {}
	}()
	return <-traced
}

func (v *vandal) starveListener() error {
	for _, what := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC} {
		if err := unix.Prlimit(v.Listener, what, &unix.Rlimit{Cur: 3, Max: 3}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) strays() error {
	for range 300 {
		if err := v.run(filepath.Join(v.Dir, "sleep"), []string{"VSTS_AGENT_PERFLOG=" + v.Perf}, "sleep", "90"); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) stopListener() error { return v.signalListener(syscall.SIGSTOP) }

// killEach ends the listener, and kills each later one.
func (v *vandal) killEach() error {
	err := v.signalListener(syscall.SIGINT)
	go func() {
		for ; ; time.Sleep(50 * time.Millisecond) {
			programs, _ := filepath.Glob("/proc/[0-9]*/exe")
			for _, exe := range programs {
				program, err := os.Readlink(exe)
				if err != nil || program != filepath.Join(v.Home, "bin", "Agent.Listener") {
					continue
				}
				var pid int
				if _, err := fmt.Sscanf(exe, "/proc/%d/exe", &pid); err == nil && pid != v.Listener {
					signalTo(pid, syscall.SIGKILL, func() bool { now, _ := os.Readlink(exe); return now == program })
				}
			}
		}
	}()
	return err
}

// exhaustPids starts processes up to the limit, and then keeps trying to take each slot
// that becomes free.
func (v *vandal) exhaustPids() error {
	sleep := filepath.Join(v.Dir, "sleep")
	more := func() error {
		attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
		_, err := syscall.ForkExec(sleep, []string{"sleep", "60"}, attr)
		return err
	}
	for range 5000 {
		if err := more(); errors.Is(err, syscall.EAGAIN) {
			go func() {
				for ; ; time.Sleep(200 * time.Microsecond) {
					_ = more()
				}
			}()
			return nil
		} else if err != nil {
			return err
		}
	}
	return errors.New("there is no pids limit")
}

func (v *vandal) daemons() error {
	for range 100 {
		if err := v.run(filepath.Join(v.Dir, "sleep"), []string{}, "sleep", "90"); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) orphans() error {
	script := strings.Repeat(fmt.Sprintf("%q 0.05 & ", filepath.Join(v.Dir, "sleep")), 50)
	for range 20 {
		if err := exec.Command("/bin/sh", "-c", script).Run(); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) falseWorker() error {
	program := filepath.Join(v.Home, "bin.0", "Agent.Worker")
	if err := v.copyOf("vandal", program); err != nil {
		return err
	}
	return v.run(program, []string{}, program)
}

func (v *vandal) falseListener() error {
	program := filepath.Join(v.Home, "bin.1", "Agent.Listener")
	if err := v.copyOf("vandal", program); err != nil {
		return err
	}
	return v.run(program, []string{"VSTS_AGENT_PERFLOG=" + v.Perf}, program, "run")
}

func (v *vandal) falseUpdate() error {
	return v.run(filepath.Join(v.Dir, "vandal"), []string{"VSTS_AGENT_PERFLOG=" + v.Perf}, "bash", filepath.Join(v.Home, "_work", "_update", "_update.sh"))
}

func (v *vandal) signals() error {
	azptend, err := unix.PidfdOpen(v.Azptend, 0)
	if err != nil {
		return err
	}
	for i := range 20_000 {
		for _, s := range []syscall.Signal{syscall.SIGWINCH, syscall.SIGURG, syscall.SIGCHLD, syscall.SIGUSR1, syscall.SIGUSR2}[i%5 : i%5+1] {
			if err := unix.PidfdSendSignal(azptend, s, nil, 0); err != nil && !errors.Is(err, syscall.EPERM) {
				return err
			}
		}
	}
	return nil
}
