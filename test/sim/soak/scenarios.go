package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// scenario is what goes wrong in one run.
type scenario struct {
	name     string
	weight   int              // how often it is picked, relative to the others
	faults   []emulator.Fault // %d in a path is replaced with the pool's id
	kills    killPoint
	losesJob bool // its job cannot be saved, and must be abandoned
}

// killPoint is which process is killed, and when.
type killPoint string

const (
	noKill          killPoint = ""
	azptendBusy     killPoint = "azptend, while a job runs"
	listenerStarted killPoint = "the listener, before its job"
	listenerBusy    killPoint = "the listener, while its job runs"
)

const (
	agents = `/pools/%d/agents(\?|$)` // POST and the look-up by name
	agent  = `/pools/%d/agents/`      // PATCH, GET, DELETE
)

// scenarios is the table from which each run's scenario is picked.
func scenarios() []scenario {
	page := emulator.Fault{Path: agents, Method: "POST", Times: 1, Status: 203, Body: "<html>", ContentType: "text/html"}
	throttled := map[string]string{"Retry-After": "2"}
	return []scenario{
		{name: "none", weight: 6},
		{name: "the registration's answer is lost", weight: 2, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, DropAnswer: emulator.DropAfter}}},
		{name: "the registration is reset", weight: 2, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, Reset: true}}},
		{name: "the registration is answered with a sign-in page", weight: 1, faults: []emulator.Fault{page}},
		{name: "503 for the registration", weight: 1, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 2, Status: 503}}},
		{name: "429 for the registration", weight: 1, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, Status: 429, Headers: throttled}}},
		{name: "the disabling is reset", weight: 1, faults: []emulator.Fault{{Path: agent, Method: "PATCH", Times: 1, Reset: true}}},
		{name: "429 for the disabling", weight: 1, faults: []emulator.Fault{{Path: agent, Method: "PATCH", Times: 1, Status: 429, Headers: throttled}}},
		{name: "the removal's answer is lost", weight: 2, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, DropAnswer: emulator.DropAfter}}},
		{name: "the removal is reset", weight: 1, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, Reset: true}}},
		{name: "503 for the removal", weight: 2, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 2, Status: 503}}},
		{name: "401 for the removal", weight: 1, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, Status: 401}}},
		{name: "each answer takes its time", weight: 2, faults: []emulator.Fault{{Path: `/pools/%d/`, Delay: 200 * time.Millisecond}}},
		{name: "azptend is killed while a job runs, and started again", weight: 3, kills: azptendBusy},
		{name: "the listener is killed before its job", weight: 1, kills: listenerStarted},
		{name: "the listener is killed while its job runs", weight: 1, kills: listenerBusy, losesJob: true},
	}
}

// pick picks a scenario at random, by weight.
func pick(r *rand.Rand) scenario {
	all := 0
	for _, t := range scenarios() {
		all += t.weight
	}
	n := r.IntN(all)
	for _, t := range scenarios() {
		if n -= t.weight; n < 0 {
			return t
		}
	}
	panic("the table is empty")
}

// inject adds the faults to a pool, and returns a function that removes them.
func (t scenario) inject(e *emulator.Emulator, poolID int) (remove func(), err error) {
	var ids []string
	remove = func() {
		for _, id := range ids {
			e.RemoveFault(id)
		}
	}
	for _, f := range t.faults {
		f.Path = fmt.Sprintf(f.Path, poolID)
		id, err := e.AddFault(f)
		if err != nil {
			remove()
			return nil, err
		}
		ids = append(ids, id)
	}
	return remove, nil
}
