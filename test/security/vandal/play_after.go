package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// afterAttack does what the attack's moment says.
func (p *play) afterAttack() error {
	switch p.cell.attack.when {
	case busy:
		p.last().term()
		p.open("vandal")
		p.releaseOtherJobs()
		return p.awaitExit()
	case idle:
		p.open("vandal")
		p.awaitJobResult(p.job)
		if p.cell.attack.late {
			if err := p.awaitLateAttack(); err != nil {
				return err
			}
		}
		p.last().term()
		p.releaseOtherJobs()
		return p.awaitExit()
	case once:
		p.open("vandal")
		p.releaseOtherJobs()
		if !p.last().wait(recoveryTimeout) {
			return fmt.Errorf("azptend does not end by itself")
		}
		return p.awaitExit()
	case relisten:
		if p.cell.attack.late {
			p.open("vandal")
			p.awaitJobResult(p.job)
		}
		if err := p.awaitLateAttack(); err != nil {
			return err
		}
		p.awaitSession()
		if p.cell.attack.nextJob && p.last().alive() {
			if err := p.queueNext(); err != nil {
				return err
			}
		}
		p.last().term()
		p.open("next")
		p.releaseOtherJobs()
		return p.awaitExit()
	case again:
		p.open("vandal")
		p.awaitJobResult(p.job)
		p.last().term()
		p.releaseOtherJobs()
		if err := p.awaitExit(); err != nil {
			return err
		}
		return p.restart()
	case killed:
		_ = p.last().Signal(syscall.SIGKILL)
		<-p.last().Done()
		p.open("vandal")
		p.releaseOtherJobs()
		for _, id := range append(p.otherJobs, p.job) {
			p.awaitJobResult(id)
		}
		return p.restart()
	}
	return fmt.Errorf("there is no moment %q", p.cell.attack.when)
}

// restart starts azptend again and ends it.
func (p *play) restart() error {
	p.recordSessions()
	if err := p.start(); err != nil {
		return err
	}
	p.awaitSession()
	p.last().term()
	return p.awaitExit()
}

// awaitSession waits until a listener polls with a new session, azptend has exited, or
// recoveryTimeout has passed.
func (p *play) awaitSession() {
	ctx, cancel := p.whileAlive(recoveryTimeout)
	defer cancel()
	_, _ = p.emulator.WaitState(ctx, func(s emulator.State) bool {
		for _, a := range s.Pools[0].Agents {
			if a.Session != nil && a.Session.Polling && !p.sessions[a.Session.ID] {
				return true
			}
		}
		return false
	})
}

// recordSessions records the sessions that exist now.
func (p *play) recordSessions() {
	for _, a := range p.emulator.State().Pools[0].Agents {
		if a.Session != nil {
			p.sessions[a.Session.ID] = true
		}
	}
}

// awaitJobResult waits until a job has a result. Some jobs never get one.
func (p *play) awaitJobResult(id int64) {
	ctx, cancel := p.whileAlive(recoveryTimeout)
	if !p.last().alive() {
		ctx, cancel = context.WithTimeout(p.ctx, 10*time.Second)
	}
	defer cancel()
	_, _, _ = p.emulator.WaitJob(ctx, id, func(j emulator.Job, _ string) bool { return j.Result != "" })
}

// awaitExit waits for azptend's exit, and then for the processes that it should end.
func (p *play) awaitExit() error {
	if !p.last().wait(exitTimeout) {
		return fmt.Errorf("azptend does not end")
	}
	p.left = p.stillRunning()
	return nil
}

// stillRunning returns the processes that still run after azptend's exit. A killed process
// needs some time to exit.
func (p *play) stillRunning() map[int]string {
	deadline := time.Now().Add(2 * time.Second)
	for {
		left := processesOf(p.dir, p.group)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// output returns what all azptend processes of the cell have printed.
func (p *play) output() string {
	var all strings.Builder
	for _, a := range p.runs {
		all.WriteString(a.Output())
	}
	return all.String()
}

// check checks what else must be true right after some attacks, and returns what is wrong.
func (p *play) check() string {
	switch p.cell.attack.name {
	case "health port":
		return p.probe()
	case "control flood":
	case "control socket":
		if !p.cell.runAs() {
			return "" // a job of azptend's own user may take the socket, as it may kill azptend
		}
	default:
		return ""
	}
	if output, err := p.healthcheck(); err != nil {
		return fmt.Sprintf("healthcheck fails although azptend is well: %v: %s", err, output)
	}
	if p.cell.attack.name == "control flood" {
		return ""
	}
	_ = p.last().Signal(syscall.SIGSTOP)
	defer func() { _ = p.last().Signal(syscall.SIGCONT) }()
	if output, err := p.healthcheck(); err == nil {
		return fmt.Sprintf("healthcheck says that a stopped azptend is well: %s", output)
	}
	return ""
}

// probe asks for /healthz as a platform does.
func (p *play) probe() string {
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	where := pageURL.FindStringSubmatch(p.output())
	if where == nil {
		return "azptend shows no health address"
	}
	resp, err := client.Get("http://" + where[1] + "/healthz")
	if err != nil {
		return "a probe gets no answer: " + err.Error()
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "a probe is answered with " + resp.Status
	}
	return ""
}

func (p *play) healthcheck() (string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 15*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, p.suite.binary, "healthcheck")
	c.Env, c.Dir = p.env, filepath.Dir(p.dir)
	b, err := c.CombinedOutput()
	return strings.TrimSpace(string(b)), err
}
