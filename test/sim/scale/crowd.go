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

// crowd is the calls of many --once lives, made by azptend's own client against the
// emulator with its limit, all at once, beside what the simulation makes of as many.
type crowd struct {
	Lives   int
	Cost    float64
	Calls   tally // by the journal
	Delayed int   // by the journal
	Refused int
	Left    int // agents in the pool at the end

	Modelled tally // a life's calls, so many times
	Late     int   // of them the meter delays so many
}

// crowdScale divides the limit's times.
const crowdScale = 1000

// bearer is a PAT.
type bearer string

// Authorization is azdo.Authorizer's.
func (b bearer) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(":"+string(b)))), nil
}

// gather has so many lives make their calls. Few enough that none is refused: what
// is refused is asked again, and how often is a question of time.
func gather(lives int, cost float64) (crowd, error) {
	c := crowd{Lives: lives, Cost: cost, Calls: tally{}, Modelled: tally{}}
	limit := emulator.RateLimit{Budget: 200, Cost: cost}
	// Its clock stands still: no call leaves the window, and how many are delayed is
	// a question of their number alone.
	began := time.Now()
	e, err := emulator.New(emulator.Options{RateLimit: limit, TimeScale: crowdScale, Now: func() time.Time { return began }})
	if err != nil {
		return c, err
	}
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Close()
	errs := make([]error, lives)
	var all sync.WaitGroup
	for n := range lives {
		all.Go(func() { errs[n] = oneOf(server, e, n) })
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
	return c, c.model(limit, began)
}

// oneOf makes the calls of one --once life.
func oneOf(server *httptest.Server, e *emulator.Emulator, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), lifePatience)
	defer cancel()
	client := azdo.New(server.URL+"/"+e.State().Org, server.Client(), bearer(e.DefaultPAT), nil)
	pool, err := client.FindPool(ctx, azdo.PoolRef{Name: "Default"})
	if err != nil {
		return err
	}
	a, err := client.AddAgent(ctx, pool.ID, azdo.Agent{
		Name: fmt.Sprintf("crowd-%d", n), Version: "5.282.3", OSDescription: "none", MaxParallelism: 1,
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

// model is the same by the simulation's table and the meter alone.
func (c *crowd) model(limit emulator.RateLimit, now time.Time) error {
	meter, err := emulator.NewMeter(limit)
	if err != nil {
		return err
	}
	for kind, n := range onceLife.total() {
		c.Modelled[kind] = n * c.Lives
	}
	for range c.Modelled.sum() {
		if meter.Charge("all", now).Delay > 0 {
			c.Late++
		}
	}
	return nil
}

// check says where journal and simulation differ.
func (c crowd) check() error {
	switch why := c.Calls.differs(c.Modelled); {
	case why != "":
		return fmt.Errorf("%d lives: journal and simulation differ in %s", c.Lives, why)
	case c.Delayed != c.Late || c.Refused > 0 || c.Left > 0:
		return fmt.Errorf("%d lives: %d calls delayed, %d by the simulation; %d refused; %d agents left", c.Lives, c.Delayed, c.Late, c.Refused, c.Left)
	}
	return nil
}
