package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/cells"
)

// facts are what was observed of a cell.
type facts struct {
	codes    []int     // exit codes of every azptend, in order
	asked    time.Time // when azptend was asked to end; zero: never
	ended    time.Time
	insisted time.Time

	job      emulator.Job // the zero value if there was none
	jobEnded time.Time    // when its process ended or, if it had none yet, the listener; zero: unknown

	agents   []int // in the pool at the end
	unnamed  []int // those of agents that azptend's log does not name
	unpruned []int // those still there after azptend prune
	running  map[int]string
	files    []string
	struck   []string // the calls that got the cell's outcome
	said     string
}

// Summary, AgentsLeft and Output implement cells.Facts.
func (f facts) Summary() string {
	return fmt.Sprintf("codes %v, job %s %s, struck %v", f.codes, f.job.State, f.job.Result, f.struck)
}

func (f facts) AgentsLeft() bool { return len(f.agents) > 0 }
func (f facts) Output() string   { return f.said }

func (p *play) facts() facts {
	f := facts{asked: p.asked, insisted: p.insisted, running: p.swept}
	for _, a := range p.lives {
		select {
		case <-a.Done():
			f.codes, f.ended = append(f.codes, a.Code()), a.Ended()
		default:
		}
		f.said += "--- azptend\n" + a.Output()
	}
	if p.job != 0 {
		f.job, _ = p.emulator.Job(p.job)
		f.jobEnded = p.jobProcessEnded()
	}
	for file := range p.files() {
		if !p.before[file] {
			f.files = append(f.files, file)
		}
	}
	slices.Sort(f.files)
	f.struck = p.struck()
	f.agents = p.agentIDs()
	f.unnamed = cells.Unnamed(f.agents, f.said, named)
	if len(f.agents) > 0 {
		p.emulator.RemoveFault("")
		p.emulator.Advance(allExpired)
		p.emulator.Advance(allExpired) // with a read lag, the emulator shows the first advance only now
		f.unpruned = p.pruned()
	}
	return f
}

// struck returns the calls that got the cell's outcome. The record of a call that is not
// answered yet does not contain its fault.
func (p *play) struck() []string {
	var calls []string
	for _, c := range p.emulator.Calls() {
		faulty := strings.HasPrefix(c.Fault, "answered") || strings.HasPrefix(c.Fault, "dropped") || strings.Contains(c.Fault, ", ")
		waits := !c.Done && p.cell.outcome.name == timeout && struckPath.MatchString(c.Path)
		if faulty || waits {
			calls = append(calls, fmt.Sprintf("%s %s: %s", c.Method, c.Path, c.Fault))
		}
	}
	return calls
}

// struckPath matches the paths that tokenCalls and agentCalls match.
var struckPath = regexp.MustCompile(`^/msi/token|/distributedtask/pools/[0-9]+/agents`)

// jobProcessEnded returns when the job's process ended, or else the listener, or the zero time.
func (p *play) jobProcessEnded() time.Time {
	select {
	case at := <-p.jobEnded:
		return at
	default:
	}
	select {
	case at := <-p.listener:
		return at
	default:
		return time.Time{}
	}
}

func (p *play) agentIDs() []int {
	var ids []int
	for _, a := range p.emulator.State().Pools[0].Agents {
		ids = append(ids, a.ID)
	}
	return ids
}

// named matches the line in which azptend names an agent that it leaves. If it never learned
// the id, the line has the agent's name only.
var named = regexp.MustCompile(`msg="Cannot remove the agent: it may stay in its pool" agent=` + agentName + ` agent_id=(unknown|[0-9]+)`)
