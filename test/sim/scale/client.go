package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/secret"
)

// clientCheck compares the simulation with azptend's own client: the client makes the calls
// of many --once runs at once against the emulator with its limit.
type clientCheck struct {
	Runs    int
	Cost    float64
	Calls   tally // by the journal
	Delayed int   // by the journal
	Refused int
	Left    int // agents in the pool at the end

	Modelled tally // a run's calls, times Runs
	Late     int   // how many of them the meter delays
}

// clientScale divides the limit's times.
const clientScale = 1000

// basicAuth is a PAT.
type basicAuth string

// Authorization implements azdo.Authorizer.
func (b basicAuth) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(":"+string(b)))), nil
}

// checkClient makes the calls of that many runs. They must be few enough that none is
// refused: how often a refused call is repeated depends on timing.
func checkClient(runs int, cost float64) (clientCheck, error) {
	c := clientCheck{Runs: runs, Cost: cost, Calls: tally{}, Modelled: tally{}}
	limit := emulator.RateLimit{Budget: 200, Cost: cost}
	// The clock stands still, so that no call leaves the window, and the number of
	// delayed calls depends only on the number of calls.
	began := time.Now()
	e, err := emulator.New(emulator.Options{RateLimit: limit, TimeScale: clientScale, Now: func() time.Time { return began }})
	if err != nil {
		return c, err
	}
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Close()
	errs := make([]error, runs)
	var all sync.WaitGroup
	for n := range runs {
		all.Go(func() { errs[n] = makeClientCalls(server, e, n) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	for _, rec := range e.Calls() {
		c.Calls[kindOf(rec)]++
		switch {
		case rec.Status == http.StatusTooManyRequests:
			c.Refused++
		case rec.Held > 0:
			c.Delayed++
		}
	}
	c.Left = len(e.State().Pools[0].Agents)
	return c, c.simulate(limit, began)
}

// makeClientCalls makes the calls of one --once run.
func makeClientCalls(server *httptest.Server, e *emulator.Emulator, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	client := azdo.New(server.URL+"/"+e.State().Org, server.Client(), basicAuth(e.DefaultPAT), nil)
	pool, err := client.FindPool(ctx, azdo.PoolRef{Name: "Default"})
	if err != nil {
		return err
	}
	a, err := client.AddAgent(ctx, pool.ID, azdo.Agent{
		Name: fmt.Sprintf("client-%d", n), Version: "5.282.3", OSDescription: "none", MaxParallelism: 1,
		Authorization: &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: []byte{1, 0, 1}, Modulus: bytes.Repeat([]byte{0xfb}, 256)}},
	})
	if err != nil {
		return err
	}
	if _, err := client.AgentByID(ctx, pool.ID, a.ID, azdo.Include{Capabilities: true}); err != nil {
		return err
	}
	if err := client.SetEnabled(ctx, pool.ID, a.ID, false); err != nil {
		return err
	}
	return client.RemoveAgent(ctx, pool.ID, a.ID)
}

// simulate computes the same numbers from the simulation's calls and the meter alone.
func (c *clientCheck) simulate(limit emulator.RateLimit, now time.Time) error {
	meter, err := emulator.NewMeter(limit)
	if err != nil {
		return err
	}
	for kind, n := range onceRun.total() {
		c.Modelled[kind] = n * c.Runs
	}
	for range c.Modelled.sum() {
		if meter.Charge("all", now).Delay > 0 {
			c.Late++
		}
	}
	return nil
}

// check returns an error if journal and simulation differ.
func (c clientCheck) check() error {
	switch why := c.Calls.differs(c.Modelled); {
	case why != "":
		return fmt.Errorf("%d runs: journal and simulation differ in %s", c.Runs, why)
	case c.Delayed != c.Late || c.Refused > 0 || c.Left > 0:
		return fmt.Errorf("%d runs: %d calls delayed, %d by the simulation; %d refused; %d agents left", c.Runs, c.Delayed, c.Late, c.Refused, c.Left)
	}
	return nil
}
