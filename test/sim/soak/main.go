// Command soak runs azptend run --once a thousand times on one machine, against one
// emulator, each time with a scenario that is picked from a table. It fails if a run goes
// wrong or if anything accumulates. `make soak` runs it and writes its numbers into
// docs/reliability.md.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/launch"
)

// scale divides the long times of emulator and fake agent. azptend's own times are not
// scaled.
const scale = 60

type options struct {
	programs launch.Programs
	runs     int
	slots    int
	seed     uint64
	page     string
}

func main() {
	var o options
	programs := launch.Flags()
	flag.IntVar(&o.runs, "runs", 1000, "how many runs")
	flag.IntVar(&o.slots, "slots", 8, "how many at once; a run mostly waits")
	flag.Uint64Var(&o.seed, "seed", 0, "the seed that picks the faults; 0: a random one, which is printed")
	flag.StringVar(&o.page, "o", "", "the page to write the numbers into; standard output without it")
	flag.Parse()
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	fmt.Fprintf(os.Stderr, "soak: %d runs, %d at once, -seed %d\n", o.runs, o.slots, o.seed)
	var result outcome
	var err error
	if o.programs, err = programs.Absolute(); err == nil {
		result, err = soak(o)
	}
	if err == nil {
		err = result.publish(o.page)
	}
	if err == nil {
		err = result.verdict()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// suite is the emulator and its slots.
type suite struct {
	emulator *emulator.Emulator
	server   *httptest.Server
	dir      string
	slots    []*slot
}

func newSuite(o options) (*suite, error) {
	var pools []string
	for n := range o.slots {
		pools = append(pools, fmt.Sprintf("soak-%d", n+1))
	}
	e, err := emulator.New(emulator.Options{Pools: pools, TimeScale: scale})
	if err != nil {
		return nil, err
	}
	r := &suite{emulator: e, server: httptest.NewServer(e)}
	if r.dir, err = os.MkdirTemp("", "azptend-soak-*"); err != nil {
		return nil, err
	}
	for _, pool := range pools {
		dir := filepath.Join(r.dir, pool)
		if err := o.programs.LayOut(dir); err != nil {
			return nil, err
		}
		r.slots = append(r.slots, &slot{
			emulator: e, url: r.server.URL, pool: pool, poolID: e.State().Pool(pool).ID,
			place: launch.Place{Binary: o.programs.Azptend, Dir: dir, Path: launch.Path()},
		})
	}
	return r, nil
}

func (r *suite) end() {
	r.emulator.Close()
	r.server.Close()
	_ = os.RemoveAll(r.dir)
}

func soak(o options) (outcome, error) {
	r, err := newSuite(o)
	if err != nil {
		return outcome{}, err
	}
	defer r.end()
	chance := rand.New(rand.NewPCG(o.seed, o.seed))
	picked := make([]scenario, o.runs)
	for n := range picked {
		picked[n] = pick(chance)
	}
	began := time.Now()
	// The first runs open connections and create the directories that stay.
	first := min(100, (o.runs+1)/2)
	result := outcome{options: o}
	result.runs = r.runAll(picked[:first], 0, o.runs)
	result.before = r.take()
	result.runs = append(result.runs, r.runAll(picked[first:], first, o.runs)...)
	result.after = r.take()
	result.first, result.took = first, time.Since(began)
	return result, nil
}

// take counts after it has closed the server's connections.
func (r *suite) take() inventory {
	return takeInventory(r.emulator, r.dir, r.server.CloseClientConnections)
}

// runAll plays the scenarios, as many at once as there are slots, and returns the results
// in the order in which the runs ended.
func (r *suite) runAll(picked []scenario, before, all int) []runResult {
	next := make(chan scenario)
	ended := make(chan runResult)
	var slots sync.WaitGroup
	for _, s := range r.slots {
		slots.Go(func() {
			for t := range next {
				ended <- s.run(t)
			}
		})
	}
	go func() {
		for _, t := range picked {
			next <- t
		}
		close(next)
		slots.Wait()
		close(ended)
	}()
	var runs []runResult
	for l := range ended {
		runs = append(runs, l)
		if l.wrong != "" {
			fmt.Fprintf(os.Stderr, "\nrun %d (%s): %s\n", before+len(runs), l.scenario.name, l.wrong)
		}
		if n := before + len(runs); n%10 == 0 || n == all {
			fmt.Fprintf(os.Stderr, "soak: %d of %d runs\n", n, all)
		}
	}
	return runs
}
