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

// afterwards is what is asked of azptend under attack.
func (p *play) afterwards() error {
	switch p.cell.attack.when {
	case busy:
		p.last().term()
		p.open("vandal")
		p.releaseInnocents()
		return p.ended()
	case idle:
		p.open("vandal")
		p.jobOver()
		if p.cell.attack.late {
			if err := p.struckLate(); err != nil {
				return err
			}
		}
		p.last().term()
		p.releaseInnocents()
		return p.ended()
	case once:
		p.open("vandal")
		p.releaseInnocents()
		if !p.last().wait(recovery) {
			return fmt.Errorf("azptend does not end by itself")
		}
		return p.ended()
	case relisten:
		if p.cell.attack.late {
			p.open("vandal")
			p.jobOver()
		}
		if err := p.struckLate(); err != nil {
			return err
		}
		p.serves()
		if p.cell.attack.on && p.last().alive() {
			if err := p.queueNext(); err != nil {
				return err
			}
		}
		p.last().term()
		p.open("next")
		p.releaseInnocents()
		return p.ended()
	case again:
		p.open("vandal")
		p.jobOver()
		p.last().term()
		p.releaseInnocents()
		if err := p.ended(); err != nil {
			return err
		}
		return p.nextLife()
	case killed:
		_ = p.last().Signal(syscall.SIGKILL)
		<-p.last().Done()
		p.open("vandal")
		p.releaseInnocents()
		for _, id := range append(p.innocents, p.job) {
			p.over(id)
		}
		return p.nextLife()
	}
	return fmt.Errorf("there is no moment %q", p.cell.attack.when)
}

// nextLife starts azptend again and ends it.
func (p *play) nextLife() error {
	p.noteSessions()
	if err := p.start(); err != nil {
		return err
	}
	p.serves()
	p.last().term()
	return p.ended()
}

// serves waits until a listener has a session that did not have it yet, or
// azptend has ended, or for as long as a platform would.
func (p *play) serves() {
	ctx, cancel := p.whileAlive(recovery)
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

// noteSessions remembers the sessions that there are.
func (p *play) noteSessions() {
	for _, a := range p.emulator.State().Pools[0].Agents {
		if a.Session != nil {
			p.sessions[a.Session.ID] = true
		}
	}
}

// jobOver waits until the vandal's job has a result; some never get one.
func (p *play) jobOver() { p.over(p.job) }

func (p *play) over(id int64) {
	ctx, cancel := p.whileAlive(recovery)
	if !p.last().alive() {
		ctx, cancel = context.WithTimeout(p.ctx, 10*time.Second)
	}
	defer cancel()
	_, _, _ = p.emulator.WaitJob(ctx, id, func(j emulator.Job, _ string) bool { return j.Result != "" })
}

// ended waits for azptend's end, and then for that of all that it should end.
func (p *play) ended() error {
	if !p.last().wait(hopeless) {
		return fmt.Errorf("azptend does not end")
	}
	p.left = p.sweep()
	return nil
}

// sweep is what still runs when azptend has ended. A killed process takes its
// time to go.
func (p *play) sweep() map[int]string {
	deadline := time.Now().Add(2 * time.Second)
	for {
		left := processesOf(p.dir, p.group)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// said is what all azptends have said.
func (p *play) said() string {
	var all strings.Builder
	for _, a := range p.lives {
		all.WriteString(a.Said())
	}
	return all.String()
}

// check is what else must be true right after some attacks.
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
	if said, err := p.healthcheck(); err != nil {
		return fmt.Sprintf("healthcheck fails although azptend is well: %v: %s", err, said)
	}
	if p.cell.attack.name == "control flood" {
		return ""
	}
	_ = p.last().Signal(syscall.SIGSTOP)
	defer func() { _ = p.last().Signal(syscall.SIGCONT) }()
	if said, err := p.healthcheck(); err == nil {
		return fmt.Sprintf("healthcheck says that a stopped azptend is well: %s", said)
	}
	return ""
}

// probe asks as a platform does.
func (p *play) probe() string {
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	where := shownAt.FindStringSubmatch(p.said())
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
	c := exec.CommandContext(ctx, p.theatre.binary, "healthcheck")
	c.Env, c.Dir = p.env, filepath.Dir(p.dir)
	b, err := c.CombinedOutput()
	return strings.TrimSpace(string(b)), err
}
