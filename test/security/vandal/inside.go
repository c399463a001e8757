package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// vandal is the attack inside a job, or a process that it starts.
type vandal struct {
	attackSpec
	held     []*os.File // files that must stay open
	listener int        // a pidfd of the job's listener
}

// maxProcessAge limits how long a process of the vandal runs.
const maxProcessAge = 2 * time.Minute

// attackMain is the job.
func attackMain(path string) error {
	var v vandal
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &v.attackSpec); err != nil {
		return err
	}
	time.AfterFunc(maxProcessAge, func() { os.Exit(3) })
	v.Home, v.Perf = os.Getenv("AGENT_HOMEDIRECTORY"), os.Getenv("VSTS_AGENT_PERFLOG")
	v.Listener, err = ancestor("Agent.Listener")
	if err == nil {
		v.Worker, err = ancestor("Agent.Worker")
	}
	if err != nil {
		return v.report(err)
	}
	if v.listener, err = unix.PidfdOpen(v.Listener, 0); err != nil {
		return v.report(err)
	}
	switch {
	case v.When == relisten, v.When == killed, v.Late, v.Attack == "pids exhausted", v.Attack == "listener traced":
		err = v.startDetached("daemon") // which reports itself
	default:
		err = v.report(v.runAttack())
	}
	if err != nil {
		return v.report(err)
	}
	f, err := os.Open(filepath.Join(v.Dir, "pipes", "vandal"))
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(f).ReadString('\n')
	return err
}

// daemonMain is a process that a job leaves running, in a session of its own and with an
// empty environment.
func daemonMain(spec string) error {
	var v vandal
	if err := json.Unmarshal([]byte(spec), &v.attackSpec); err != nil {
		return err
	}
	time.AfterFunc(maxProcessAge, func() { os.Exit(3) })
	var err error
	if v.listener, err = unix.PidfdOpen(v.Listener, 0); err != nil {
		return v.report(err)
	}
	if v.When == relisten || v.Late {
		err = v.attackLater()
	} else {
		err = v.report(v.runAttack())
	}
	if err != nil {
		return err
	}
	select {}
}

// attackLater waits for the job's worker to exit if the attack is late, so that the agent
// is idle, attacks, and then kills the listener. Attacks on the next listener end this one
// with SIGINT instead, because azptend kills what a killed listener has left.
func (v *vandal) attackLater() error {
	if err := v.report(nil); err != nil {
		return err
	}
	if v.Late {
		awaitEnd(v.Worker)
	}
	if err := v.runAttack(); err != nil {
		return v.report(err)
	}
	if err := v.writeReport("planted"); err != nil {
		return err
	}
	if v.When == relisten && !endsListenerItself[v.Attack] {
		return v.signalListener(syscall.SIGKILL)
	}
	return nil
}

// endsListenerItself are the attacks that end the listener themselves.
var endsListenerItself = map[string]bool{
	"next perf": true, "notification port": true, "notification address": true, "listener killed each time": true,
}

// report reports that the attack is in place, or why it is not.
func (v *vandal) report(err error) error {
	if err != nil {
		return errors.Join(err, v.writeReport(strings.ReplaceAll("error: "+err.Error(), "\n", " ")))
	}
	return v.writeReport(fmt.Sprint("done ", os.Getpid()))
}

func (v *vandal) writeReport(what string) error {
	f, err := os.OpenFile(filepath.Join(v.Dir, "pipes", "report"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, what)
	return err
}

// startDetached starts this program in another mode, in a session of its own and with an
// empty environment.
func (v *vandal) startDetached(mode string, args ...string) error {
	spec, err := json.Marshal(v.attackSpec)
	if err != nil {
		return err
	}
	c := exec.Command(filepath.Join(v.Dir, "vandal"), append([]string{mode, string(spec)}, args...)...)
	c.Env, c.Dir = []string{}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c.Start()
}

// controlDirectory is where azptend's control socket is, or could be.
func (v *vandal) controlDirectory() string {
	if strings.HasPrefix(v.Home, filepath.Join(v.Dir, "roots")) {
		return filepath.Join(filepath.Dir(v.Home), ".azptend")
	}
	return filepath.Join(v.Home, ".azptend")
}

func (v *vandal) runAttack() error {
	do := attackCode[v.Attack]
	if do == nil {
		return fmt.Errorf("there is no attack %q", v.Attack)
	}
	return do(v)
}

// attackCode has the code of each attack in the list.
var attackCode map[string]func(*vandal) error

func init() {
	at := func(elements ...string) func(*vandal) error {
		return func(v *vandal) error { return v.plant(filepath.Join(append([]string{v.Home}, elements...)...), v.Form) }
	}
	perf := func(v *vandal) error { return v.plant(filepath.Join(v.Perf, "Agent.perf"), v.Form) }
	nothing := func(*vandal) error { return nil }
	attackCode = map[string]func(*vandal) error{
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
		"control directory":           func(v *vandal) error { return v.plant(v.controlDirectory(), v.Form) },
		"work":                        replaceDirectory("_work"),
		"listener program":            at("bin", "Agent.Listener"),
		"listener program, now":       at("bin", "Agent.Listener"),
		"bin":                         replaceDirectory("bin"),
		"agent directory":             (*vandal).agentDirectory,
		"perf directory":              func(v *vandal) error { return v.damageDirectory(v.Perf) },
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
		"control flood":               func(v *vandal) error { return v.flood("unix", filepath.Join(v.controlDirectory(), "control.sock")) },
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
