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

// vandal is the attack inside a job, or the daemon that it leaves.
type vandal struct {
	note
	held     []*os.File // what must stay open
	listener int        // a descriptor of the job's listener
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

// control is where azptend's control socket is, or was once.
func (v *vandal) control() string {
	if strings.HasPrefix(v.Home, filepath.Join(v.Dir, "roots")) {
		return filepath.Join(filepath.Dir(v.Home), ".azptend")
	}
	return filepath.Join(v.Home, ".azptend")
}

// strike does what the attack does.
func (v *vandal) strike() error {
	do := attackCode[v.Attack]
	if do == nil {
		return fmt.Errorf("there is no attack %q", v.Attack)
	}
	return do(v)
}

// attackCode has what each attack of the list does.
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
