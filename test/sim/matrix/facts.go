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

// facts are what was seen of a cell.
type facts struct {
	codes    []int     // exit codes, one a life
	asked    time.Time // when the clock was started; zero: never
	ended    time.Time
	insisted time.Time

	job      emulator.Job // the zero value: there was none
	jobEnded time.Time    // when its process ended, or, if it had none yet, the listener; zero: unknown

	agents   []int // in the pool at the end
	unnamed  []int // of those, what azptend's log does not name
	stubborn []int // what is there even after a keeper's pruning
	running  map[int]string
	files    []string
	struck   []string // the calls that met the outcome
	said     string
}

// Summary, AgentsLeft and Output make facts of cells.Facts.
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
		f.said += "--- azptend\n" + a.Said()
	}
	if p.job != 0 {
		f.job, _ = p.emulator.Job(p.job)
		f.jobEnded = p.carrierEnded()
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
		p.emulator.Advance(locksLapse)
		p.emulator.Advance(locksLapse) // a server that reads late shows the first only now
		f.stubborn = p.pruned()
	}
	return f
}

// struck are the calls that met the outcome. Of one that is not answered yet the
// records do not say what was done to it.
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

// struckPath is tokenCalls and agentCalls, of a path.
var struckPath = regexp.MustCompile(`^/msi/token|/distributedtask/pools/[0-9]+/agents`)

// carrierEnded is when the job's process ended, or the listener that had it.
func (p *play) carrierEnded() time.Time {
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

// named is the line by which azptend tells a person what it leaves. An agent
// whose id it never learned is named by its name.
var named = regexp.MustCompile(`msg="Cannot remove the agent: it may stay in its pool" agent=` + agentName + ` agent_id=(unknown|[0-9]+)`)
