// Command soak lives a thousand --once lives of azptend on one machine against
// one emulator, each with something that goes wrong, drawn from a table, and
// looks what grows: nothing may. `make soak` runs it; it writes its numbers into
// docs/reliability.md, and fails if a life or a number is not as it must be.
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

// scale shrinks the slow times of emulator and fake agent; azptend has no such
// switch.
const scale = 60

type options struct {
	programs launch.Programs
	lives    int
	seats    int
	seed     uint64
	page     string
}

func main() {
	var o options
	programs := launch.Flags()
	flag.IntVar(&o.lives, "lives", 1000, "how many lives")
	flag.IntVar(&o.seats, "seats", 8, "how many at once; most of a life is waiting")
	flag.Uint64Var(&o.seed, "seed", 0, "what the troubles are drawn with; 0: by chance, and printed")
	flag.StringVar(&o.page, "o", "", "the page to write the numbers into; standard output without it")
	flag.Parse()
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	fmt.Fprintf(os.Stderr, "soak: %d lives, %d at once, -seed %d\n", o.lives, o.seats, o.seed)
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

// rig is the emulator and the seats at it.
type rig struct {
	emulator *emulator.Emulator
	server   *httptest.Server
	dir      string
	seats    []*seat
}

func build(o options) (*rig, error) {
	var pools []string
	for n := range o.seats {
		pools = append(pools, fmt.Sprintf("soak-%d", n+1))
	}
	e, err := emulator.New(emulator.Options{Pools: pools, TimeScale: scale})
	if err != nil {
		return nil, err
	}
	r := &rig{emulator: e, server: httptest.NewServer(e)}
	if r.dir, err = os.MkdirTemp("", "azptend-soak-*"); err != nil {
		return nil, err
	}
	for _, pool := range pools {
		dir := filepath.Join(r.dir, pool)
		if err := o.programs.LayOut(dir); err != nil {
			return nil, err
		}
		r.seats = append(r.seats, &seat{
			emulator: e, url: r.server.URL, pool: pool, poolID: e.State().Pool(pool).ID,
			place: launch.Place{Binary: o.programs.Azptend, Dir: dir, Path: launch.Path()},
		})
	}
	return r, nil
}

func (r *rig) end() {
	r.emulator.Close()
	r.server.Close()
	_ = os.RemoveAll(r.dir)
}

func soak(o options) (outcome, error) {
	r, err := build(o)
	if err != nil {
		return outcome{}, err
	}
	defer r.end()
	chance := rand.New(rand.NewPCG(o.seed, o.seed))
	drawn := make([]trouble, o.lives)
	for n := range drawn {
		drawn[n] = draw(chance)
	}
	began := time.Now()
	// The first lives warm up what warms up: connections, the layout's own folders.
	first := min(100, (o.lives+1)/2)
	result := outcome{options: o}
	result.lives = r.liveAll(drawn[:first], 0, o.lives)
	result.before = r.take()
	result.lives = append(result.lives, r.liveAll(drawn[first:], first, o.lives)...)
	result.after = r.take()
	result.first, result.took = first, time.Since(began)
	return result, nil
}

// take counts when nobody is connected any more.
func (r *rig) take() inventory {
	return take(r.emulator, r.dir, r.server.CloseClientConnections)
}

// liveAll lives lives in all seats at once, and returns them in the order in
// which they ended.
func (r *rig) liveAll(drawn []trouble, before, all int) []lived {
	next := make(chan trouble)
	ended := make(chan lived)
	var seats sync.WaitGroup
	for _, s := range r.seats {
		seats.Go(func() {
			for t := range next {
				ended <- s.live(t)
			}
		})
	}
	go func() {
		for _, t := range drawn {
			next <- t
		}
		close(next)
		seats.Wait()
		close(ended)
	}()
	var lives []lived
	for l := range ended {
		lives = append(lives, l)
		if l.wrong != "" {
			fmt.Fprintf(os.Stderr, "\nlife %d (%s): %s\n", before+len(lives), l.trouble.name, l.wrong)
		}
		if n := before + len(lives); n%10 == 0 || n == all {
			fmt.Fprintf(os.Stderr, "soak: %d of %d lives\n", n, all)
		}
	}
	return lives
}
