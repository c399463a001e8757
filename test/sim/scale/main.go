// Command scale estimates how many agents an organisation can run, and what to set. It
// simulates the organisation's queue, KEDA, the keeper and thousands of azptends in virtual
// time, with the emulator's rate limit. `make scale` runs it; it fills docs/scale.md and
// draws its pictures. The calls of a run are checked against a real azptend, and against
// azptend's own client with some hundred runs.
//
// Start reading at simulation.go (one simulation), then agent.go (one run) and calls.go
// (its calls). keda.go is KEDA's arithmetic, studies.go has the page's tables.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/supervisor"
	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

func main() {
	flags := launch.Flags()
	out := flag.String("o", "", "the page to fill; the pictures go into the folder images beside it; standard output without it")
	seed := flag.Uint64("seed", 1, "the seed of jobs and times")
	flag.Parse()
	programs, err := flags.Absolute()
	if err == nil {
		err = publish(programs, *out, pageScope(*seed))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// pageScope is the size of the page's studies.
func pageScope(seed uint64) scope {
	return scope{Seed: seed, During: 4 * time.Hour, Rates: []float64{100, 1000, 10000}}
}

// clientRuns is for how many runs azptend's own client makes the calls.
const clientRuns = 300

// publish measures, simulates, and fills the page.
func publish(programs launch.Programs, page string, s scope) error {
	runs, err := measureRuns(programs, launch.Path())
	if err == nil {
		err = measureLooks(programs, launch.Path())
	}
	if err != nil {
		return err
	}
	var checks []clientCheck
	for _, cost := range []float64{0.1, 0.2} {
		c, err := checkClient(clientRuns, cost)
		if err == nil {
			err = c.check()
		}
		if err != nil {
			return err
		}
		checks = append(checks, c)
	}
	parts, pictures, err := s.study()
	if err != nil {
		return err
	}
	parts["model"] = assumptions()
	parts["lives"], parts["crowd"] = runsTable(runs), clientTable(checks)
	parts["written"] = fmt.Sprintf("\nWritten by `make scale` on %s with seed %d; do not edit what is between the marks. The machine: %s.\n\n", time.Now().UTC().Format(time.DateOnly), s.Seed, process.Machine())
	for name, text := range parts {
		if err := launch.FillIn(page, name, text); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	for name, p := range pictures {
		if err := os.WriteFile(filepath.Join(filepath.Dir(page), "images", "scale-"+name+".svg"), []byte(p.svg()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// study runs the studies, and returns the page's parts and pictures by name.
func (s scope) study() (map[string]string, map[string]plot, error) {
	r := &runs{}
	parts, pictures := map[string]string{}, map[string]plot{}
	for name, part := range map[string]func(*runs) string{
		"answers": s.answers, "per-identity": s.perIdentity, "modes": s.modes, "who": s.whoCalls, "triggers": s.triggers, "seeds": s.seeds, "shared": s.shared,
	} {
		parts[name] = "\n" + part(r) + "\n"
	}
	for name, part := range map[string]func(*runs) (string, plot){"limit": s.limit, "polls": s.polls, "strategies": s.strategies} {
		text, p := part(r)
		parts[name], pictures[name] = "\n"+text+"\n", p
	}
	return parts, pictures, r.err
}

// assumptions lists what the model draws at random or assumes, with the program's own
// values.
func assumptions() string {
	t := &table{head: []string{"", "in the model"}}
	t.add("a job's length", fmt.Sprintf("lognormal: median %s, spread %g of the logarithm (one in twenty takes five times the median), from %s to %s", span(jobMedian), jobSpread, span(shortestJob), span(longestJob)))
	t.add("jobs arrive", "at random (Poisson), or in random groups of "+groups()+", at the three rates")
	t.add("a pod, from its creation until azptend runs", fmt.Sprintf("lognormal: median %s, spread %g; the image is on the node", span(podMedian), podSpread))
	t.add("Microsoft's listener, until it listens", span(listenerUp)+" to "+span(listenerUp+listenerVary))
	t.add("from the message to the job's start", span(workerUp))
	t.add("the listener's poll", fmt.Sprintf("%s, then a pause of %s to %s in which it sees no job; in parallel a poll every %s with an unused answer", span(longPoll), span(pauseFrom), span(pauseTo), span(keepAlive)))
	t.add("listener and job (assumed)", fmt.Sprintf("a renewal each %s; %d steps, each %d records and %d calls for its log; console lines each %s (steps and lines are guesses)", span(renewal), jobSteps, stepMarks, stepLogs, span(feedEvery)))
	t.add("a call", fmt.Sprintf("%d ms, and the limit's delay", roundTrip.Milliseconds()))
	t.add("KEDA", fmt.Sprintf("waits %s for an answer; a failed poll costs %d calls instead of %d", span(kedaPatience), len(kedaError), len(kedaPoll)))
	t.add("with `metrics-api`", fmt.Sprintf("a keeper looks at the pool if its last look or poll is older than %s; KEDA's requests go to any of the keepers at random", span(lookFresh)))
	t.add("azptend under the limit", fmt.Sprintf("waits as long as the server asks, up to a quarter longer at random; retries a refused call for %s", span(limitPatience)))
	t.add("azptend's check that its agent is still in its pool", fmt.Sprintf("one call of each process (here of each agent) every %s to %s at random; not retried", span(supervisor.MinPresenceInterval), span(supervisor.MaxPresenceInterval)))
	t.add("a run", fmt.Sprintf("jobs arrive for %s, and all of them run", span(pageScope(0).During)))
	t.add("identities above", fmt.Sprintf("so many that the busiest five minutes of each are within %s of the limit", percent(warnPart)))
	t.add("where the agents' identity is over its limit (\"Whose calls\")", fmt.Sprintf("a call costs so much that its busiest five minutes are %g times the limit", overload))
	return "\n" + t.String() + "\n"
}

func groups() string {
	var all []string
	for _, jobs := range pageScope(0).Rates {
		all = append(all, fmt.Sprint(groupOf(jobs)))
	}
	return strings.Join(all, ", ")
}

// runsTable shows the calls of real runs.
func runsTable(all []measured) string {
	kinds := []call{getPools, postAgent, getAgent, patchAgent, deleteAgent}
	t := &table{head: []string{"a run"}}
	for _, k := range kinds {
		t.head = append(t.head, string(k))
	}
	t.head = append(t.head, "all", "the identity endpoint's", "the fake agent's own")
	for _, l := range all {
		cells := []any{l.Kind.Name}
		for _, k := range kinds {
			cells = append(cells, l.Azptend[k])
		}
		t.add(append(cells, l.Azptend.sum(), l.Token, l.Listener.sum())...)
	}
	return "\n" + t.String() + "\n"
}

// clientTable shows the checks with azptend's own client.
func clientTable(checks []clientCheck) string {
	t := &table{head: []string{"runs at once", "a call costs", "calls: journal", "simulation", "delayed: journal", "simulation", "agents left"}}
	for _, c := range checks {
		t.add(c.Runs, fmt.Sprintf("%g TSTU", c.Cost), c.Calls.sum(), c.Modelled.sum(), c.Delayed, c.Late, c.Left)
	}
	return "\n" + t.String() + "\n"
}
