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

// life is one azptend's.
type life struct {
	code  int
	over  bool          // it has ended
	asked bool          // it got SIGTERM
	took  time.Duration // from then to its end
	peak  int           // bytes
}

// facts are what was seen of a cell.
type facts struct {
	lives   []life
	agents  []int // that stay in the pool
	unnamed []int // of those, what no line of the log names
	others  []string
	left    map[int]string
	checked string
	victim  string // what became of it; "" where nothing has
	job     string // the result of the attacking job
	said    string

	prevented   bool // azptend ended the daemon before it could strike
	descriptors int
}

func (p *play) facts() facts {
	f := facts{left: p.left, checked: p.checked, said: p.said(), prevented: p.prevented, descriptors: p.descriptors}
	for _, a := range p.lives {
		l := life{asked: !a.asked.IsZero()}
		select {
		case <-a.Done():
			l.over, l.code, l.took = true, a.Code(), a.Ended().Sub(a.asked)
		default:
		}
		l.peak = a.peakMemory()
		f.lives = append(f.lives, l)
	}
	for _, a := range p.emulator.State().Pools[0].Agents {
		if a.ID != p.given {
			f.agents = append(f.agents, a.ID)
		}
	}
	f.unnamed = cells.Unnamed(f.agents, f.said, named)
	watched := slices.Clone(p.innocents)
	if p.next != 0 {
		watched = append(watched, p.next)
	}
	for _, id := range watched {
		if j, err := p.emulator.Job(id); err != nil || j.Result != "succeeded" {
			f.others = append(f.others, fmt.Sprintf("job %d of %s is %s %s", id, j.Agent, j.State, j.Result))
		}
	}
	if p.job != 0 {
		j, _ := p.emulator.Job(p.job)
		f.job = strings.TrimSpace(j.State + " " + j.Result)
	}
	if now := p.victim(); p.untouched != "" && now != p.untouched {
		f.victim = now
	}
	return f
}

// named is the line by which azptend tells a person what it leaves, and how to
// remove it.
var named = regexp.MustCompile(`msg="Cannot remove the agent: it may stay in its pool" .*agent_id=(unknown|[0-9]+) .*remove_with=`)

// holdsName is the line about an agent that has the name and is not known to be ours.
var holdsName = regexp.MustCompile(`is taken by another agent: id [0-9]+`)

type property = cells.Property[cell, facts]

func properties() []property {
	return []property{
		{Name: "azptend ends in time", What: "within its grace period after SIGTERM, or by itself where no SIGTERM comes", Broken: overstayed},
		{Name: "the exit code is right", What: "0, or the code that [the table](exit-codes.md) has for what the attack did", Broken: wrongCode},
		{Name: "no ghost", What: "the pool is empty, or the log names the agent that stays, with the command that removes it", Broken: ghost},
		{Name: "memory is bounded", What: fmt.Sprintf("azptend never uses more than %d MiB", mostMemory>>20), Broken: hungry},
		{Name: "descriptors are bounded", What: fmt.Sprintf("azptend never holds more than %d, however many connections a job opens", mostDescriptors), Broken: greedy},
		{Name: "other jobs succeed", What: "those of the two other agents of the same process, and the next job where the attack should leave the agent as it is; not where the pids limit is used up, for a listener needs threads too", Broken: others},
		{Name: "no process stays", What: "daemons included; where azptend was killed or the pids limit is used up, only the agent's own programs count, or none", Broken: survivor},
		{Name: "nothing else is touched", What: "files outside the agent's directory stay as they are, and probes and `azptend healthcheck` get a true answer (a job of azptend's own user may answer at the control socket itself)", Broken: collateral},
	}
}

func overstayed(c cell, f facts) string {
	for n, l := range f.lives {
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
	if c.attack.needs == pids && listenerFailed.MatchString(f.said) {
		// The fake agent is a Go program too, and gets no thread either. An azptend
		// that gets none ends with 2 as well, but without that line.
		may = append(may, 2)
	}
	for n, l := range f.lives {
		if !l.over || c.attack.when == killed && n == 0 {
			continue
		}
		if !slices.Contains(may, l.code) {
			return fmt.Sprintf("azptend %d ended with %d, and not with one of %v", n+1, l.code, may)
		}
	}
	return ""
}

// ghost accepts an agent that stays without that line in two cases, both of an
// azptend that was killed: the next start refused the directory, or it could no
// longer prove that the agent is its own, and reported it as the one that holds the
// name. A keeper removes it.
func ghost(c cell, f facts) string {
	if f.forAKeeper(c) || c.attack.when == killed && holdsName.MatchString(f.said) {
		return ""
	}
	if len(f.unnamed) > 0 {
		return fmt.Sprintf("agents %v stay and are not named", f.unnamed)
	}
	return ""
}

func (f facts) forAKeeper(c cell) bool {
	return c.attack.when == killed && len(f.lives) == 2 && f.lives[1].code == unfit
}

func hungry(_ cell, f facts) string {
	for n, l := range f.lives {
		if l.peak > mostMemory {
			return fmt.Sprintf("azptend %d used %d MiB", n+1, l.peak>>20)
		}
	}
	return ""
}

func greedy(_ cell, f facts) string {
	if f.descriptors > mostDescriptors {
		return fmt.Sprintf("azptend held %d descriptors", f.descriptors)
	}
	return ""
}

func others(c cell, f facts) string {
	if c.attack.needs == pids {
		return ""
	}
	return strings.Join(f.others, ", ")
}

func survivor(c cell, f facts) string {
	if c.attack.needs == pids || f.forAKeeper(c) || c.attack.when == killed && len(f.agents) > 0 {
		return "" // with the agent of a killed azptend that is named, its listener stays
	}
	left := maps.Clone(f.left)
	if c.attack.when == killed {
		// A daemon with an empty environment has lost all that says whose it is,
		// with the azptend that was its parent.
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

func collateral(_ cell, f facts) string {
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
	text := fmt.Sprintf("lives %+v, job %s", f.lives, f.job)
	if f.prevented {
		text = "azptend ended the daemon before it could strike; " + text
	}
	return text
}

func (f facts) AgentsLeft() bool { return len(f.agents) > 0 }
func (f facts) Output() string   { return f.said }
