package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// kind is a class of events.
type kind string

const (
	request kind = "request" // azptend is asked to end
	insist  kind = "insist"  // SIGINT is sent more than once
	toAll   kind = "to all"  // every process gets SIGTERM
	kill    kind = "kill"    // azptend is killed, and started again
	ends    kind = "ends"    // the listener or its worker exits unasked
)

// event is what happens in a phase.
type event struct {
	name string
	kind kind
	env  []string // how the fake agent reacts
	code int      // of the listener that exits; 128+n if signal n kills it
	do   func(*play) error
}

func events() []event {
	all := []event{
		{name: "SIGTERM", kind: request, do: signals(1, syscall.SIGTERM)},
		{name: "SIGINT", kind: request, do: signals(1, syscall.SIGINT)},
		{name: "SIGINT twice", kind: insist, do: signals(2, syscall.SIGINT)},
		{name: "SIGINT three times", kind: insist, do: signals(3, syscall.SIGINT)},
		{name: "SIGTERM to all, listener ignores it", kind: toAll, env: []string{"AZPTEND_FAKEAGENT_TERM=ignore"}, do: termAll},
		{name: "SIGTERM to all, listener takes its time", kind: toAll, env: []string{"AZPTEND_FAKEAGENT_PLAYS=v4", "AZPTEND_FAKEAGENT_TERM=2s"}, do: termAll},
		{name: "SIGTERM to all, listener dies", kind: toAll, env: []string{"AZPTEND_FAKEAGENT_PLAYS=v5"},
			code: 128 + int(syscall.SIGTERM), do: termAll},
		{name: "azptend killed", kind: kill, do: killAzptend},
		{name: "listener killed", kind: ends, code: 128 + int(syscall.SIGKILL), do: signalProgram("Agent.Listener", syscall.SIGKILL)},
	}
	for code := range 5 {
		e := event{name: fmt.Sprintf("listener exits %d", code), kind: ends, code: code,
			env: []string{"AZPTEND_FAKEAGENT_OBEYS=1"}, do: signalProgram("Agent.Listener", syscall.Signal(orderSignalBase+code))}
		if code == 4 { // only a listener with --once exits with it
			e.env = append(e.env, "AZP_ONCE=true")
		}
		all = append(all, e)
	}
	return append(all,
		event{name: workerKilled, kind: ends, do: signalProgram("Agent.Worker", syscall.SIGKILL)},
		event{name: "azptend drain, then SIGTERM", kind: request, do: drainThenTerm})
}

const workerKilled = "worker killed"

// orderSignalBase is the fake agent's: signal 40+n makes it exit with code n.
const orderSignalBase = 40

// insistPause is a little more than the second after which azptend counts a SIGINT as a
// further one.
const insistPause = 1200 * time.Millisecond

// signals sends azptend a signal several times, as a person would: each a while after
// azptend has logged the one before. It stops when azptend has ended.
func signals(times int, s syscall.Signal) func(*play) error {
	return func(p *play) error {
		for n := 1; n <= times; n++ {
			if n > 1 && !p.pause(insistPause) {
				return nil
			}
			p.asks(n)
			if s == syscall.SIGINT && n > 1 { // only SIGINT is counted
				p.insists()
			}
			if err := p.azptend.Signal(s); err != nil {
				return nil // it has ended
			}
			if err := p.hears(n); err != nil {
				return err
			}
		}
		return nil
	}
}

// termAll sends SIGTERM to azptend and all its descendants, as a service manager does that
// stops a control group, or an init that passes signals to a process group. Whether azptend
// gets it first depends on the length of the outcome's name, so that both orders occur.
func termAll(p *play) error {
	pids := append([]int{p.azptend.Pid()}, process.Descendants(p.azptend.Pid())...)
	if len(p.cell.outcome.name)%2 == 1 {
		pids = append(pids[1:], pids[0])
	}
	p.asks(1)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	return p.hears(1)
}

func killAzptend(p *play) error {
	if err := p.azptend.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.azptend.Done()
	return nil
}

// signalProgram sends a signal to the agent's program of that name.
func signalProgram(name string, s syscall.Signal) func(*play) error {
	return func(p *play) error {
		for pid, program := range process.Running(p.agentDir) {
			if filepath.Base(program) == name {
				return syscall.Kill(pid, s)
			}
		}
		return fmt.Errorf("there is no %s", name)
	}
}

func drainThenTerm(p *play) error {
	if err := p.drain(); err != nil {
		return err
	}
	p.asks(1)
	_ = p.azptend.Signal(syscall.SIGTERM) // before its POST azptend has ended already
	return nil
}
