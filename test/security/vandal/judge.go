package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/test/internal/cells"
)

// runResult is what was observed of one azptend process.
type runResult struct {
	code  int
	over  bool          // it has exited
	asked bool          // it got SIGTERM
	took  time.Duration // from SIGTERM to its exit
	peak  int           // of memory, in bytes
}

// facts are what was observed of a cell.
type facts struct {
	runs       []runResult
	agents     []int // that stayed in the pool
	unnamed    []int // of those, the ones that no line of the log names
	failedJobs []string
	left       map[int]string
	checked    string
	victim     string // what it is now; "" if it is unchanged
	job        string // the result of the attacking job
	output     string

	prevented   bool // azptend ended the daemon before it could attack
	descriptors int
}

func (p *play) facts() facts {
	f := facts{left: p.left, checked: p.checked, output: p.output(), prevented: p.prevented, descriptors: p.descriptors}
	for _, a := range p.runs {
		l := runResult{asked: !a.asked.IsZero()}
		select {
		case <-a.Done():
			l.over, l.code, l.took = true, a.Code(), a.Ended().Sub(a.asked)
		default:
		}
		l.peak = a.peakMemory()
		f.runs = append(f.runs, l)
	}
	for _, a := range p.emulator.State().Pools[0].Agents {
		if a.ID != p.registeredID {
			f.agents = append(f.agents, a.ID)
		}
	}
	f.unnamed = cells.Unnamed(f.agents, f.output, named)
	watched := slices.Clone(p.otherJobs)
	if p.next != 0 {
		watched = append(watched, p.next)
	}
	for _, id := range watched {
		if j, err := p.emulator.Job(id); err != nil || j.Result != "succeeded" {
			f.failedJobs = append(f.failedJobs, fmt.Sprintf("job %d of %s is %s %s", id, j.Agent, j.State, j.Result))
		}
	}
	if p.job != 0 {
		j, _ := p.emulator.Job(p.job)
		f.job = strings.TrimSpace(j.State + " " + j.Result)
	}
	if now := p.victim(); p.victimBefore != "" && now != p.victimBefore {
		f.victim = now
	}
	return f
}

// named is the line that tells a person which agent azptend leaves, and how to remove it.
var named = regexp.MustCompile(`msg="Cannot remove the agent: it may stay in its pool" .*agent_id=(unknown|[0-9]+) .*remove_with=`)

// holdsName is the line about an agent that has the name and may not be this azptend's.
var holdsName = regexp.MustCompile(`is taken by another agent: id [0-9]+`)

type property = cells.Property[cell, facts]

func properties() []property {
	return []property{
		{Name: "azptend ends in time", What: "within its grace period after SIGTERM, or by itself where no SIGTERM comes", Broken: overstayed},
		{Name: "the exit code is right", What: "0, or the code that [the table](exit-codes.md) has for what the attack did", Broken: wrongCode},
		{Name: "no ghost", What: "the pool is empty, or the log names the agent that stays, with the command that removes it", Broken: ghost},
		{Name: "memory is bounded", What: fmt.Sprintf("azptend never uses more than %d MiB", mostMemory>>20), Broken: overMemory},
		{Name: "descriptors are bounded", What: fmt.Sprintf("azptend never holds more than %d, however many connections a job opens", mostDescriptors), Broken: overDescriptors},
		{Name: "other jobs succeed", What: "those of the two other agents of the same process, and the next job where the attack should leave the agent as it is; not where the pids limit is used up, for a listener needs threads too", Broken: failedJobs},
		{Name: "no process stays", What: "daemons included; where azptend was killed or the pids limit is used up, only the agent's own programs count, or none", Broken: leftProcess},
		{Name: "nothing else is touched", What: "files outside the agent's directory stay as they are, and probes and `azptend healthcheck` get a true answer (a job of azptend's own user may answer at the control socket itself)", Broken: outsideChange},
	}
}

func overstayed(c cell, f facts) string {
	for n, l := range f.runs {
		switch {
		case !l.over:
			return fmt.Sprintf("azptend %d did not end", n+1)
		case l.asked && l.took > grace+margin:
			return fmt.Sprintf("azptend %d took %v of %v", n+1, l.took.Round(time.Millisecond), grace)
		}
	}
	return ""
}

// listenerFailed is the last line of an azptend that exits with its listener's code.
var listenerFailed = regexp.MustCompile(`msg=(Exiting|"All agents have exited") .*exit_code=2 reason="the listener exited`)

func wrongCode(c cell, f facts) string {
	may := append([]int{0}, c.attack.codes...)
	if c.attack.needs == pids && listenerFailed.MatchString(f.output) {
		// The fake agent is a Go program too, and cannot create a thread either. An
		// azptend that cannot also exits with 2, but without that line.
		may = append(may, 2)
	}
	for n, l := range f.runs {
		if !l.over || c.attack.when == killed && n == 0 {
			continue
		}
		if !slices.Contains(may, l.code) {
			return fmt.Sprintf("azptend %d ended with %d, and not with one of %v", n+1, l.code, may)
		}
	}
	return ""
}

// ghost accepts an agent that stays without that line in two cases, both after azptend was
// killed: the next start refused the directory, or it could not prove that the agent is its
// own, and reported it as the one that holds the name. A keeper removes it.
func ghost(c cell, f facts) string {
	if f.leftForKeeper(c) || c.attack.when == killed && holdsName.MatchString(f.output) {
		return ""
	}
	if len(f.unnamed) > 0 {
		return fmt.Sprintf("agents %v stay and are not named", f.unnamed)
	}
	return ""
}

func (f facts) leftForKeeper(c cell) bool {
	return c.attack.when == killed && len(f.runs) == 2 && f.runs[1].code == unfit
}

func overMemory(_ cell, f facts) string {
	for n, l := range f.runs {
		if l.peak > mostMemory {
			return fmt.Sprintf("azptend %d used %d MiB", n+1, l.peak>>20)
		}
	}
	return ""
}

func overDescriptors(_ cell, f facts) string {
	if f.descriptors > mostDescriptors {
		return fmt.Sprintf("azptend held %d descriptors", f.descriptors)
	}
	return ""
}

func failedJobs(c cell, f facts) string {
	if c.attack.needs == pids {
		return ""
	}
	return strings.Join(f.failedJobs, ", ")
}

func leftProcess(c cell, f facts) string {
	if c.attack.needs == pids || f.leftForKeeper(c) || c.attack.when == killed && len(f.agents) > 0 {
		return "" // the listener of an agent that stays and is named stays too
	}
	left := maps.Clone(f.left)
	if c.attack.when == killed {
		// A daemon with an empty environment, whose azptend is gone, cannot be recognised
		// as this agent's.
		maps.DeleteFunc(left, func(_ int, program string) bool {
			return !strings.HasSuffix(program, "/bin/Agent.Listener") && !strings.HasSuffix(program, "/bin/Agent.Worker")
		})
	}
	if len(left) == 0 {
		return ""
	}
	pids := slices.Sorted(maps.Keys(left))
	return fmt.Sprintf("%d processes still run, such as %s", len(pids), left[pids[0]])
}

func outsideChange(_ cell, f facts) string {
	if f.victim != "" {
		return "there is now: " + f.victim
	}
	return f.checked
}

// verdict is the result of a cell.
type verdict = cells.Verdict[cell, facts]

func judge(c cell, f facts, err error) verdict { return cells.Judge(properties(), c, f, err) }

// Summary, AgentsLeft and Output make facts of cells.Facts.
func (f facts) Summary() string {
	text := fmt.Sprintf("runs %+v, job %s", f.runs, f.job)
	if f.prevented {
		text = "azptend ended the daemon before it could attack; " + text
	}
	return text
}

func (f facts) AgentsLeft() bool { return len(f.agents) > 0 }
func (f facts) Output() string   { return f.output }
