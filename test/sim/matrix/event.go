package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// kind is what sort of an event it is.
type kind string

const (
	word   kind = "word"   // somebody asks azptend to end
	insist kind = "insist" // a person asks more than once
	crowd  kind = "crowd"  // every process is asked
	kill   kind = "kill"   // azptend is killed, and started again
	ends   kind = "ends"   // the listener, or its worker, ends unasked
)

// event is what happens in a phase.
type event struct {
	name string
	kind kind
	env  []string // how the listener takes it
	code int      // of a listener that ends by itself; 128+n of one that a signal kills
	do   func(*play) error
}

func events() []event {
	all := []event{
		{name: "SIGTERM", kind: word, do: signals(1, syscall.SIGTERM)},
		{name: "SIGINT", kind: word, do: signals(1, syscall.SIGINT)},
		{name: "SIGINT twice", kind: insist, do: signals(2, syscall.SIGINT)},
		{name: "SIGINT three times", kind: insist, do: signals(3, syscall.SIGINT)},
		{name: "SIGTERM to all, listener ignores it", kind: crowd, env: []string{"AZPTEND_FAKEAGENT_TERM=ignore"}, do: termAll},
		{name: "SIGTERM to all, listener takes its time", kind: crowd, env: []string{"AZPTEND_FAKEAGENT_PLAYS=v4", "AZPTEND_FAKEAGENT_TERM=2s"}, do: termAll},
		{name: "SIGTERM to all, listener dies", kind: crowd, env: []string{"AZPTEND_FAKEAGENT_PLAYS=v5"},
			code: 128 + int(syscall.SIGTERM), do: termAll},
		{name: "azptend killed", kind: kill, do: killAzptend},
		{name: "listener killed", kind: ends, code: 128 + int(syscall.SIGKILL), do: signalProgram("Agent.Listener", syscall.SIGKILL)},
	}
	for code := range 5 {
		e := event{name: fmt.Sprintf("listener exits %d", code), kind: ends, code: code,
			env: []string{"AZPTEND_FAKEAGENT_OBEYS=1"}, do: signalProgram("Agent.Listener", syscall.Signal(obeyBase+code))}
		if code == 4 { // only one that was to take one job has this code
			e.env = append(e.env, "AZP_ONCE=true")
		}
		all = append(all, e)
	}
	return append(all,
		event{name: workerKilled, kind: ends, do: signalProgram("Agent.Worker", syscall.SIGKILL)},
		event{name: "azptend drain, then SIGTERM", kind: word, do: drainThenTerm})
}

const workerKilled = "worker killed"

// obeyBase is the fake agent's: signal 40+n makes it leave with code n.
const obeyBase = 40

// insistPause is a little more than the second after which azptend takes a SIGINT
// for another one (README.md: "pressed again after a second").
const insistPause = 1200 * time.Millisecond

// signals sends azptend a signal so many times, as a person would: each a while
// after the one before was heard. One that has left meanwhile hears no more.
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
				return nil // it has left
			}
			if err := p.hears(n); err != nil {
				return err
			}
		}
		return nil
	}
}

// termAll is what a service manager does that ends a whole group, and docker stop
// with an init that passes on. Who hears it first differs from outcome to outcome.
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

// signalProgram sends a signal to the agent's own program of a name.
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
	_ = p.azptend.Signal(syscall.SIGTERM) // before its POST it has left already
	return nil
}
