package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// trouble is what goes wrong in one life.
type trouble struct {
	name    string
	often   int              // of all
	faults  []emulator.Fault // %d in a path is the pool's id
	cuts    cut
	lossful bool // its job cannot be saved, and is to be abandoned
}

// cut is who is killed, and when.
type cut string

const (
	nobody          cut = ""
	azptendBusy     cut = "azptend, while a job runs"
	listenerStarted cut = "the listener, before its job"
	listenerBusy    cut = "the listener, while its job runs"
)

const (
	agents = `/pools/%d/agents(\?|$)` // POST and look-up
	agent  = `/pools/%d/agents/`      // PATCH, GET, DELETE
)

// troubles is the table that lives are drawn from.
func troubles() []trouble {
	page := emulator.Fault{Path: agents, Method: "POST", Times: 1, Status: 203, Body: "<html>", ContentType: "text/html"}
	throttled := map[string]string{"Retry-After": "2"}
	return []trouble{
		{name: "none", often: 6},
		{name: "the registration's answer is lost", often: 2, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, DropAnswer: emulator.DropAfter}}},
		{name: "the registration is reset", often: 2, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, Reset: true}}},
		{name: "the registration is answered with a sign-in page", often: 1, faults: []emulator.Fault{page}},
		{name: "503 for the registration", often: 1, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 2, Status: 503}}},
		{name: "429 for the registration", often: 1, faults: []emulator.Fault{{Path: agents, Method: "POST", Times: 1, Status: 429, Headers: throttled}}},
		{name: "the disabling is reset", often: 1, faults: []emulator.Fault{{Path: agent, Method: "PATCH", Times: 1, Reset: true}}},
		{name: "429 for the disabling", often: 1, faults: []emulator.Fault{{Path: agent, Method: "PATCH", Times: 1, Status: 429, Headers: throttled}}},
		{name: "the removal's answer is lost", often: 2, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, DropAnswer: emulator.DropAfter}}},
		{name: "the removal is reset", often: 1, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, Reset: true}}},
		{name: "503 for the removal", often: 2, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 2, Status: 503}}},
		{name: "401 for the removal", often: 1, faults: []emulator.Fault{{Path: agent, Method: "DELETE", Times: 1, Status: 401}}},
		{name: "each answer takes its time", often: 2, faults: []emulator.Fault{{Path: `/pools/%d/`, Delay: 200 * time.Millisecond}}},
		{name: "azptend is killed while a job runs, and started again", often: 3, cuts: azptendBusy},
		{name: "the listener is killed before its job", often: 1, cuts: listenerStarted},
		{name: "the listener is killed while its job runs", often: 1, cuts: listenerBusy, lossful: true},
	}
}

// draw picks a trouble by chance.
func draw(r *rand.Rand) trouble {
	all := 0
	for _, t := range troubles() {
		all += t.often
	}
	n := r.IntN(all)
	for _, t := range troubles() {
		if n -= t.often; n < 0 {
			return t
		}
	}
	panic("the table is empty")
}

// in puts the faults into a pool, and returns how to take them out again.
func (t trouble) in(e *emulator.Emulator, poolID int) (out func(), err error) {
	var ids []string
	out = func() {
		for _, id := range ids {
			e.RemoveFault(id)
		}
	}
	for _, f := range t.faults {
		f.Path = fmt.Sprintf(f.Path, poolID)
		id, err := e.AddFault(f)
		if err != nil {
			out()
			return nil, err
		}
		ids = append(ids, id)
	}
	return out, nil
}
