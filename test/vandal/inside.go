package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// vandal is the attack inside a job, or the daemon that it leaves.
type vandal struct {
	note
	held     []*os.File // what must stay open
	listener int        // a descriptor of the job's listener
}

// signalListener signals the job's listener, and no process that has its number
// later.
func (v *vandal) signalListener(s syscall.Signal) error {
	return unix.PidfdSendSignal(v.listener, s, nil, 0)
}

// longest is how long a process of the vandal's lasts at most.
const longest = 2 * time.Minute

// attackMain is the job.
func attackMain(path string) error {
	var v vandal
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &v.note); err != nil {
		return err
	}
	time.AfterFunc(longest, func() { os.Exit(3) })
	v.Home, v.Perf = os.Getenv("AGENT_HOMEDIRECTORY"), os.Getenv("VSTS_AGENT_PERFLOG")
	v.Listener, err = ancestor("Agent.Listener")
	if err == nil {
		v.Worker, err = ancestor("Agent.Worker")
	}
	if err != nil {
		return v.sign(err)
	}
	if v.listener, err = unix.PidfdOpen(v.Listener, 0); err != nil {
		return v.sign(err)
	}
	switch {
	case v.When == relisten, v.When == killed, v.Late, v.Attack == "pids exhausted", v.Attack == "listener traced":
		err = v.leave("daemon") // which signs
	default:
		err = v.sign(v.strike())
	}
	if err != nil {
		return v.sign(err)
	}
	f, err := os.Open(filepath.Join(v.Dir, "signs", "vandal"))
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(f).ReadString('\n')
	return err
}

// daemonMain is what a job leaves running, with a session of its own and an empty
// environment.
func daemonMain(told string) error {
	var v vandal
	if err := json.Unmarshal([]byte(told), &v.note); err != nil {
		return err
	}
	time.AfterFunc(longest, func() { os.Exit(3) })
	var err error
	if v.listener, err = unix.PidfdOpen(v.Listener, 0); err != nil {
		return v.sign(err)
	}
	if v.When == relisten || v.Late {
		err = v.strikeLater()
	} else {
		err = v.sign(v.strike())
	}
	if err != nil {
		return err
	}
	select {}
}

// strikeLater strikes when the job's worker has ended, so that the agent is idle
// again, and then kills the listener. Those who want to meet the next listener end
// this one with SIGINT, since azptend kills what is left of one that was killed.
func (v *vandal) strikeLater() error {
	if err := v.sign(nil); err != nil {
		return err
	}
	if v.Late {
		awaitEnd(v.Worker)
	}
	if err := v.strike(); err != nil {
		return v.sign(err)
	}
	if err := v.say("planted"); err != nil {
		return err
	}
	if v.When == relisten && !strikesItself[v.Attack] {
		return v.signalListener(syscall.SIGKILL)
	}
	return nil
}

// strikesItself are the attacks that end the listener in their own order.
var strikesItself = map[string]bool{
	"next perf": true, "notification port": true, "notification address": true, "listener killed each time": true,
}

// awaitEnd waits for the end of a process.
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

// sign tells the play that the attack is in place, or why it is not.
func (v *vandal) sign(err error) error {
	if err != nil {
		return errors.Join(err, v.say(strings.ReplaceAll("error: "+err.Error(), "\n", " ")))
	}
	return v.say(fmt.Sprint("done ", os.Getpid()))
}

func (v *vandal) say(what string) error {
	f, err := os.OpenFile(filepath.Join(v.Dir, "signs", "done"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, what)
	return err
}

// leave starts a daemon.
func (v *vandal) leave(how string, args ...string) error {
	told, err := json.Marshal(v.note)
	if err != nil {
		return err
	}
	c := exec.Command(filepath.Join(v.Dir, "vandal"), append([]string{how, string(told)}, args...)...)
	c.Env, c.Dir = []string{}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c.Start()
}

// run starts a program as a daemon that does nothing but last.
func (v *vandal) run(program string, environ []string, args ...string) error {
	c := &exec.Cmd{Path: program, Args: args, Env: environ, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	return c.Start()
}

// copyOf puts a copy of a program somewhere below the agent's directory.
func (v *vandal) copyOf(program, to string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyProgram(filepath.Join(v.Dir, program), to))
}

// ancestor finds the process above this one that runs a program of a name.
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

// control is where azptend's control socket is, or was once.
func (v *vandal) control() string {
	if strings.HasPrefix(v.Home, filepath.Join(v.Dir, "roots")) {
		return filepath.Join(filepath.Dir(v.Home), ".azptend")
	}
	return filepath.Join(v.Home, ".azptend")
}

// strike does what the attack does.
func (v *vandal) strike() error {
	do := deeds[v.Attack]
	if do == nil {
		return fmt.Errorf("there is no attack %q", v.Attack)
	}
	return do(v)
}

// deeds are what the attacks of the list do.
var deeds map[string]func(*vandal) error

func init() {
	at := func(elements ...string) func(*vandal) error {
		return func(v *vandal) error { return v.plant(filepath.Join(append([]string{v.Home}, elements...)...), v.Form) }
	}
	perf := func(v *vandal) error { return v.plant(filepath.Join(v.Perf, "Agent.perf"), v.Form) }
	nothing := func(*vandal) error { return nil }
	deeds = map[string]func(*vandal) error{
		"perf":            perf,
		"perf of one job": perf,
		"next perf":       (*vandal).nextPerf,
		"listener's log":  at("_diag", "Agent_20990101-000000-utc.log"),
		"update marker":   at("_diag", "SelfUpdate-20990101-000000.log.succeed"),
		"diag":            replaceDirectory("_diag"),
		"many logs": func(v *vandal) error {
			return manyFiles(filepath.Join(v.Home, "_diag"), "Agent_20990101-%06d-utc.log", 20_000)
		},
		"env file":                    at(".env"),
		"agent file":                  at(".agent"),
		"credentials":                 (*vandal).credentials,
		"records":                     (*vandal).records,
		"root record":                 (*vandal).rootRecords,
		"registered files":            (*vandal).registeredFiles,
		"agent directory, next start": func(v *vandal) error { return v.replace(v.Home) },
		"roots":                       (*vandal).roots,
		"registered directory":        (*vandal).registeredDirectory,
		"temporary litter":            (*vandal).temporaryLitter,
		"listener traced":             (*vandal).traceListener,
		"listener starved":            (*vandal).starveListener,
		"strays":                      (*vandal).strays,
		"control directory":           func(v *vandal) error { return v.plant(v.control(), v.Form) },
		"work":                        replaceDirectory("_work"),
		"listener program":            at("bin", "Agent.Listener"),
		"listener program, now":       at("bin", "Agent.Listener"),
		"bin":                         replaceDirectory("bin"),
		"agent directory":             (*vandal).agentDirectory,
		"perf directory":              func(v *vandal) error { return v.disfigure(v.Perf) },
		"perf litter":                 (*vandal).perfLitter,
		"control socket":              (*vandal).controlSocket,
		"listener stopped":            (*vandal).stopListener,
		"listener stopped, idle":      (*vandal).stopListener,
		"listener killed":             nothing,
		"listener killed each time":   (*vandal).killEach,
		"pids exhausted":              (*vandal).exhaustPids,
		"daemons":                     (*vandal).daemons,
		"orphans":                     (*vandal).orphans,
		"false worker":                (*vandal).falseWorker,
		"false listener":              (*vandal).falseListener,
		"false update":                (*vandal).falseUpdate,
		"lock taken":                  (*vandal).takeLock,
		"signals":                     (*vandal).signals,
		"health port":                 func(v *vandal) error { return v.flood("tcp", v.Health) },
		"control flood":               func(v *vandal) error { return v.flood("unix", filepath.Join(v.control(), "control.sock")) },
		"notification port":           (*vandal).floodNextPort,
		"notification address":        (*vandal).stealAddress,
		"log flood":                   (*vandal).floodLog,
		"output not read":             (*vandal).fillOutput,
		"output not blocking":         (*vandal).unblockOutput,
		"disk full":                   (*vandal).fillDisk,
		"disk full, listener killed":  (*vandal).fillDisk,
		"disk full, next start":       (*vandal).fillDisk,
		"no inodes":                   (*vandal).useInodes,
		"inotify exhausted":           (*vandal).exhaustInotify,
	}
}

// replaceDirectory moves a directory of the agent's away and plants in its place.
func replaceDirectory(name string) func(*vandal) error {
	return func(v *vandal) error { return v.replace(filepath.Join(v.Home, name)) }
}

func (v *vandal) replace(path string) error {
	if err := os.Rename(path, path+"-moved"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return v.plant(path, v.Form)
}

func (v *vandal) roots() (err error) {
	for n := 1; n <= 3; n++ {
		err = errors.Join(err, v.replace(filepath.Join(filepath.Dir(v.Home), fmt.Sprint(n))))
	}
	return err
}

func (v *vandal) registeredDirectory() error { return v.replace(filepath.Join(v.Dir, "azp", "handed")) }

func (v *vandal) temporaryLitter() error {
	if err := manyFiles(v.Home, ".azptend-new-%d", 10_000); err != nil {
		return err
	}
	for i := range 2000 {
		dir := filepath.Join(v.Home, fmt.Sprintf(".azptend-perf-%d", i))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(filepath.Join(dir, "in"), 0o755), os.Chmod(dir, 0)); err != nil {
			return err
		}
	}
	return nil
}

// traceListener stops the listener as a debugger does, for as long as this process
// lasts.
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

// nextPerf plants in the perf directory of the listener that comes next, before
// that listener writes to it.
func (v *vandal) nextPerf() error {
	return v.whenMade(v.Home, func(path string) bool {
		return strings.HasPrefix(filepath.Base(path), ".azptend-perf-")
	}, func(path string) error {
		return v.plant(filepath.Join(path, "Agent.perf"), v.Form)
	})
}

// whenMade ends the listener, and acts on the first file of a kind that comes to
// be in a directory after that.
func (v *vandal) whenMade(dir string, is func(string) bool, act func(string) error) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := w.Add(dir); err != nil {
		return err
	}
	if err := v.signalListener(syscall.SIGINT); err != nil {
		return err
	}
	limit := time.After(time.Minute)
	for {
		select {
		case e := <-w.Events:
			if e.Has(fsnotify.Create) && is(e.Name) {
				return act(e.Name)
			}
		case <-limit:
			return fmt.Errorf("nothing new in %s", dir)
		}
	}
}

func (v *vandal) credentials() error {
	return errors.Join(v.plant(filepath.Join(v.Home, ".credentials"), v.Form), v.plant(filepath.Join(v.Home, ".credentials_rsaparams"), v.Form))
}

func (v *vandal) records() error {
	found, _ := filepath.Glob(filepath.Join(v.Home, ".azptend*"))
	err := v.plant(filepath.Join(v.Home, ".azptend-root"), v.Form)
	for _, path := range found {
		if info, e := os.Lstat(path); e == nil && !info.IsDir() {
			err = errors.Join(err, v.plant(path, v.Form))
		}
	}
	return err
}

func (v *vandal) rootRecords() error {
	roots, err := filepath.Glob(filepath.Join(filepath.Dir(v.Home), "[1-9]"))
	for _, root := range roots {
		err = errors.Join(err, v.plant(filepath.Join(root, ".azptend-root"), v.Form))
	}
	if len(roots) != 3 {
		err = errors.Join(err, fmt.Errorf("there are roots %v", roots))
	}
	return err
}

func (v *vandal) registeredFiles() (err error) {
	for _, name := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
		err = errors.Join(err, v.plant(filepath.Join(v.Dir, "azp", "handed", name), v.Form))
	}
	return err
}

func (v *vandal) agentDirectory() error {
	if v.Form == "emptied" {
		entries, err := os.ReadDir(v.Home)
		for _, e := range entries {
			_ = os.RemoveAll(filepath.Join(v.Home, e.Name())) // of what is root's, a part stays
		}
		return err
	}
	return v.disfigure(v.Home)
}

// disfigure does one of several things to a directory.
func (v *vandal) disfigure(path string) error {
	if v.Form == "mode 0" {
		return os.Chmod(path, 0)
	}
	if err := os.Rename(path, path+"-moved"); err != nil {
		return err
	}
	if v.Form == "renamed" {
		return nil
	}
	return v.plant(path, v.Form)
}

func (v *vandal) perfLitter() error {
	switch v.Form {
	case "20,000 files":
		return manyFiles(v.Perf, "file-%d", 20_000)
	case "3,000 levels deep":
		return levels(v.Perf, 3000)
	}
	for i := range 200 {
		dir := filepath.Join(v.Perf, fmt.Sprint("dir-", i))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(filepath.Join(dir, "in"), 0o755), os.Chmod(dir, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (v *vandal) controlSocket() error {
	path := v.control()
	_ = os.Rename(path, path+"-moved") // it may be where jobs cannot reach it
	switch v.Form {
	case "renamed":
		return nil
	case "own socket":
		return v.ownControl(path)
	}
	return v.plant(path, v.Form)
}

func (v *vandal) stopListener() error { return v.signalListener(syscall.SIGSTOP) }

// killEach ends the listener, and kills each that comes after it.
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

// exhaustPids starts processes until there can be no more, and then takes each
// place that gets free.
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

// takeLock waits for the lock on the agent's directory, and keeps it.
func (v *vandal) takeLock() error {
	f, err := os.Open(v.Home)
	if err != nil {
		return err
	}
	v.held = append(v.held, f)
	go func() { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	return nil
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

// flood opens connections from here and from three more processes: each may have
// only so many descriptors.
func (v *vandal) flood(network, address string) error {
	if address == "" {
		return errors.New("there is no address")
	}
	for range 3 {
		if err := v.leave("connect", network, address); err != nil {
			return err
		}
	}
	v.connect(network, address)
	return nil
}

// connectMain is one of the processes that do nothing but connect.
func connectMain(told, network, address string) error {
	var v vandal
	if err := json.Unmarshal([]byte(told), &v.note); err != nil {
		return err
	}
	time.AfterFunc(longest, func() { os.Exit(3) })
	v.connect(network, address)
	select {}
}

// connections is how many each process keeps open, or tries to.
const connections = 400

// redial is the pause before a connection is opened again. The machine is shared:
// who opens thousands a second takes everything from everybody.
const redial = 3 * time.Second

// connect keeps connections open: one that is closed, or was refused, is opened
// again. It returns when each was tried for the first time.
func (v *vandal) connect(network, address string) {
	var tried sync.WaitGroup
	for range connections {
		tried.Add(1)
		go func() {
			for first := true; ; first = false {
				conn, err := net.DialTimeout(network, address, time.Second)
				if first {
					tried.Done()
				}
				if err == nil {
					v.keep(conn)
					conn.Close()
				}
				time.Sleep(redial)
			}
		}()
	}
	tried.Wait()
}

// keep does with a connection what the form says, until it is closed.
func (v *vandal) keep(conn net.Conn) {
	begin, more := "", ""
	switch v.Form {
	case "half a request":
		begin = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-"
	case "endless request":
		begin, more = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-", strings.Repeat("vandal", 800)
	case "endless lies":
		more = strings.Repeat("Finished job: f0f0f0f0-0000-4000-8000-00000000dead", 100)
	}
	if _, err := fmt.Fprint(conn, begin); err != nil {
		return
	}
	for more != "" {
		if _, err := fmt.Fprint(conn, more); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, _ = conn.Read(make([]byte, 1))
}

// floodNextPort connects to the port that the next listener is to connect to.
func (v *vandal) floodNextPort() error {
	return v.nextAgentFile(func(map[string]any) error {
		address, err := notificationAddress(filepath.Join(v.Home, ".agent"))
		if err != nil {
			return err
		}
		v.connect("tcp", address)
		return nil
	})
}

// stealAddress has the next listener connect to the vandal in place of azptend.
func (v *vandal) stealAddress() error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return v.nextAgentFile(func(settings map[string]any) error {
		settings["notificationSocketAddress"] = l.Addr().String()
		b, err := json.Marshal(settings)
		if err != nil {
			return err
		}
		temp := filepath.Join(v.Home, "agent-stolen")
		return errors.Join(os.WriteFile(temp, b, 0o600), os.Rename(temp, filepath.Join(v.Home, ".agent")))
	})
}

// nextAgentFile kills the listener and acts on the .agent that is written for the
// next one.
func (v *vandal) nextAgentFile(act func(map[string]any) error) error {
	return v.whenMade(v.Home, func(path string) bool { return filepath.Base(path) == ".agent" }, func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var settings map[string]any
		if err := json.Unmarshal(b, &settings); err != nil {
			return err
		}
		return act(settings)
	})
}

func notificationAddress(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var settings struct{ NotificationSocketAddress string }
	if err := json.Unmarshal(b, &settings); err != nil {
		return "", err
	}
	return settings.NotificationSocketAddress, nil
}

// output takes the listener's standard output: the same open file, not another
// one, so that its flags are shared.
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

// allNoise is how much of it is written: 100 MB.
const allNoise = 100 << 20

func (v *vandal) floodLog() error {
	f, err := v.output()
	if err != nil {
		return err
	}
	for n := 0; n < allNoise; {
		written, err := f.Write(noiseLine)
		if err != nil {
			return err
		}
		n += written
	}
	return nil
}

// fillOutput writes until nothing more fits, or azptend has taken it all.
func (v *vandal) fillOutput() error {
	f, err := v.output()
	if err != nil {
		return err
	}
	wrote := make(chan int)
	go func() {
		for n := 0; n < allNoise; {
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
		case <-time.After(time.Second): // it is full
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

func (v *vandal) fillDisk() error {
	f, err := os.Create(filepath.Join(v.Home, "_work", "fill"))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *vandal) useInodes() error {
	dir := filepath.Join(v.Home, "_work", "fill")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := manyFiles(dir, "file-%d", 100_000); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the inodes do not end: %w", err)
	}
	return nil
}

// exhaustInotify uses up what a user may have of inotify instances.
func (v *vandal) exhaustInotify() error {
	for range 10_000 {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if errors.Is(err, syscall.EMFILE) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("inotify instances do not end")
}
