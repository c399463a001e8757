package emulator

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// randomUse is a pool that gets random calls. Its listeners follow the answers of the server.
type randomUse struct {
	*world
	rt    *rapid.T
	alive []*listener
	count int
}

func (c *randomUse) pick() *listener {
	if len(c.alive) == 0 {
		c.rt.Skip("no agent")
	}
	return c.alive[rapid.IntRange(0, len(c.alive)-1).Draw(c.rt, "agent")]
}

func (c *randomUse) send(method, path, auth string, body any) got {
	g, err := c.try(c.ctx(), method, path, auth, body)
	if err != nil {
		c.rt.Fatalf("%s %s: %v", method, path, err)
	}
	if g.StatusCode >= 500 || g.StatusCode == 401 {
		c.rt.Fatalf("%s %s answered %d %s", method, path, g.StatusCode, g.raw)
	}
	return g
}

func (c *randomUse) register(*rapid.T) {
	c.count++
	name := fmt.Sprint("a", c.count)
	g := c.send("POST", agents+v71, c.admin(), agentBody(name))
	l := &listener{world: c.world, key: agentKey(), id: g.num("id"), name: name, client: g.text("authorization", "clientId")}
	l.bearer = "Bearer " + must(c.agentToken(c.pool(1).agent(l.id)))
	c.alive = append(c.alive, l)
}

func (c *randomUse) openSession(*rapid.T) {
	l := c.pick()
	g := l.tryOpen()
	online := l.session != "" && c.sessions[l.session] != nil
	if g.StatusCode == 200 {
		l.session = g.text("sessionId")
	} else if g.StatusCode != 409 || !online {
		c.rt.Fatalf("POST session answered %d %s, online before: %v", g.StatusCode, g.raw, online)
	}
}

func (c *randomUse) closeSession(*rapid.T) {
	l := c.pick()
	c.send("DELETE", pools+"/1/sessions/"+l.session+vp, l.bearer, nil)
}

func (c *randomUse) enable(*rapid.T) {
	l := c.pick()
	c.send("PATCH", fmt.Sprint(agents, "/", l.id, v71), c.admin(), obj{"id": l.id, "enabled": rapid.Bool().Draw(c.rt, "enabled")})
}

func (c *randomUse) remove(*rapid.T) {
	l := c.pick()
	busy := c.State().Pool("Default").Agent(l.name).AssignedRequest != 0
	g := c.send("DELETE", fmt.Sprint(agents, "/", l.id, v71), c.admin(), nil)
	if busy != (g.StatusCode == 400) {
		c.rt.Fatalf("DELETE of an agent that is busy (%v) answered %d", busy, g.StatusCode)
	}
	if !busy {
		for i, x := range c.alive {
			if x == l {
				c.alive = append(c.alive[:i:i], c.alive[i+1:]...)
			}
		}
	}
}

func (c *randomUse) queue(*rapid.T) { must(c.QueueJob(JobSpec{Force: true})) }

func (c *randomUse) cancel(*rapid.T) {
	if n := len(c.State().Jobs); n > 0 {
		_ = c.CancelJob(int64(rapid.IntRange(1, n).Draw(c.rt, "job")))
	}
}

func (c *randomUse) acknowledge(*rapid.T) {
	l := c.pick()
	if inbox := c.pool(1).agent(l.id).inbox; len(inbox) > 0 {
		c.send("DELETE", fmt.Sprintf("%s/1/messages/%d%s&sessionId=%s", pools, inbox[0].id, vp, l.session), l.bearer, nil)
	}
}

func (c *randomUse) renewLock(*rapid.T) {
	if l := c.pick(); c.request(l) != 0 {
		c.send("PATCH", fmt.Sprint(pools, "/1/jobrequests/", c.request(l), vp), l.bearer, obj{"requestId": c.request(l)})
	}
}

func (c *randomUse) finishJob(*rapid.T) {
	if l := c.pick(); c.request(l) != 0 {
		c.send("DELETE", fmt.Sprint(pools, "/1/jobrequests/", c.request(l), vp, "&result=succeeded&agentShuttingDown=",
			rapid.Bool().Draw(c.rt, "once")), l.bearer, nil)
	}
}

func (c *randomUse) request(l *listener) int64 {
	return c.State().Pool("Default").Agent(l.name).AssignedRequest
}

func (c *randomUse) later(*rapid.T) {
	c.Advance(time.Duration(rapid.IntRange(1, 400).Draw(c.rt, "seconds")) * time.Second)
	for _, l := range c.alive {
		l.bearer = "Bearer " + must(c.agentToken(c.pool(1).agent(l.id)))
	}
}

// check verifies the invariants.
func (c *randomUse) check(rt *rapid.T) {
	s := c.State()
	agents, free := s.Pool("Default").Agents, ""
	holder := map[int64]int{}
	for _, a := range agents {
		if (a.Status == "online") != (a.Session != nil) {
			rt.Fatalf("agent %+v", a)
		}
		if a.AssignedRequest != 0 {
			holder[a.AssignedRequest] = a.ID
		} else if a.Enabled && a.Session != nil && !a.ShuttingDown {
			free = a.Name
		}
	}
	for _, j := range s.Jobs {
		switch {
		case j.State == JobQueued && free != "":
			rt.Fatalf("job %d waits although %s is free", j.RequestID, free)
		case j.State == JobQueued && j.Agent != "", j.State == JobCompleted && j.FinishTime.IsZero(), j.State == JobCompleted != (j.Result != ""):
			rt.Fatalf("job %+v", j)
		case j.State != JobQueued && j.State != JobCompleted && (holder[j.RequestID] != j.AgentID || !j.LockedUntil.After(s.Time)):
			rt.Fatalf("job %+v is not held by its agent but by %d", j, holder[j.RequestID])
		case j.State == JobCompleted && holder[j.RequestID] != 0:
			rt.Fatalf("job %+v is completed and held", j)
		}
	}
}

// TestAnyOrder uses a pool in random orders: jobs and agents always agree, and no job waits while
// an agent is free.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := must(New(Options{KeyOf: keyHolder(), Now: testClock}))
		srv := httptest.NewServer(e)
		defer srv.Close()
		defer e.Close()
		c := &randomUse{world: &world{t, e, srv.URL, srv.Client()}, rt: rt}
		rt.Repeat(map[string]func(*rapid.T){
			"": c.check, "register": c.register, "open": c.openSession, "close": c.closeSession, "enable": c.enable, "remove": c.remove,
			"queue": c.queue, "cancel": c.cancel, "acknowledge": c.acknowledge, "renew": c.renewLock, "finish": c.finishJob, "later": c.later,
		})
	})
}

// TestManyAtOnce: concurrent agents run all jobs, each once. It is for the race detector.
func TestManyAtOnce(t *testing.T) {
	const crew, jobs = 6, 30
	w := newWorld(t, func(o *Options) { o.Now = nil })
	ctx, stop := context.WithCancel(w.ctx())
	var wg sync.WaitGroup
	for i := range crew {
		l := w.start(fmt.Sprint("a", i))
		wg.Go(func() {
			for last := 0; ; {
				g, err := l.poll(ctx, last)
				if err != nil || g.StatusCode != 200 || g.raw == "" {
					return
				}
				last = g.num("messageId")
				request := fmt.Sprint(pools, "/1/jobrequests/", l.body(g).num("requestId"), vp)
				for _, step := range []struct{ method, path string }{
					{"DELETE", fmt.Sprint(pools, "/1/messages/", last, vp, "&sessionId=", l.session)}, {"DELETE", request + "&result=succeeded"},
				} {
					if g, err := w.try(w.ctx(), step.method, step.path, l.bearer, nil); err != nil || g.StatusCode != 204 {
						t.Errorf("%s answered %s, %v", step.path, g.raw, err)
					}
				}
			}
		})
	}
	for range jobs {
		must(w.QueueJob(JobSpec{}))
	}
	_, err := w.WaitState(ctx, func(s State) bool {
		for _, j := range s.Jobs {
			if j.Result != "succeeded" {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
	received := 0
	for _, ev := range must(w.Events(w.ctx(), 0)) {
		if ev.Type == EventJobReceived {
			received++
		}
	}
	if received != jobs {
		t.Errorf("%d jobs were received, want %d", received, jobs)
	}
}
