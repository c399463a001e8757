package emulator

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFaultAnswers(t *testing.T) {
	w := newWorld(t)
	id, err := w.AddFault(Fault{Method: "get", Path: `/POOLS\?poolName=`, Nth: 2, Times: 2, Status: 503, Body: `{"x":1}`,
		Headers: map[string]string{"Retry-After": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{200, 503, 503, 200} {
		g := w.want(want, w.call("GET", pools+"?poolName=x", w.admin(), nil))
		if want == 503 && (g.Header.Get("Retry-After") != "7" || g.raw != `{"x":1}` || g.Header.Get("Content-Type") != jsonType) {
			t.Errorf("call %d answered %v %s", i, g.Header, g.raw)
		}
	}
	w.want(200, w.call("GET", pools, w.admin(), nil))
	if f := w.Faults(); len(f) != 1 || f[0].ID != id || f[0].Seen != 4 || f[0].Fired != 2 {
		t.Errorf("the faults are %+v", f)
	}
	w.RemoveFault(id)
	if len(w.Faults()) != 0 {
		t.Error("the fault is still there")
	}
	var faults []string
	for _, c := range w.Calls() {
		faults = append(faults, c.Fault)
	}
	if got := strings.Join(faults, "|"); got != "|answered 503|answered 503||" {
		t.Errorf("the records say %s", got)
	}
	for _, f := range []Fault{{}, {Path: "("}, {Status: 99}, {DropAnswer: "sometimes"}, {Status: 500, Nth: -1}} {
		if _, err := w.AddFault(f); err == nil {
			t.Errorf("%+v was accepted", f)
		}
	}
}

// TestDroppedAnswers: before and after the server acts, by FIN and by RST.
func TestDroppedAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Fault
		acted bool
		reset bool
	}{
		{"before", Fault{DropAnswer: DropBefore}, false, false},
		{"after", Fault{DropAnswer: DropAfter}, true, false},
		{"reset", Fault{Reset: true}, false, true},
		{"reset after", Fault{DropAnswer: DropAfter, Reset: true}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.fault.Method, c.fault.Path, c.fault.Times = "POST", "/agents", 1
			if _, err := w.AddFault(c.fault); err != nil {
				t.Fatal(err)
			}
			g, err := w.try(w.ctx(), "POST", agents+v71, w.admin(), agentBody("a1"))
			if err == nil {
				t.Fatalf("there is an answer: %s", g.raw)
			}
			if reset := errors.Is(err, syscall.ECONNRESET); reset != c.reset {
				t.Errorf("the error is %v, want a reset: %v", err, c.reset)
			}
			if acted := w.State().Pool("Default").Agent("a1") != nil; acted != c.acted {
				t.Errorf("the server acted: %v, want %v", acted, c.acted)
			}
			if calls := w.Calls(); calls[0].Status != 0 || !calls[0].Done {
				t.Errorf("the record is %+v", calls[0])
			}
		})
	}
}

func TestDelaysAddUp(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Now = nil })
	for _, f := range []Fault{{Delay: 20 * time.Millisecond}, {Path: "pools", Delay: 30 * time.Millisecond}, {Path: "pools", Status: 500}} {
		if _, err := w.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	w.want(500, w.call("GET", pools, w.admin(), nil))
	if d := time.Since(begin); d < 50*time.Millisecond {
		t.Errorf("the answer came after %v", d)
	}
	if c := w.Calls()[0]; c.Duration < 50*time.Millisecond || c.Fault != "delay 50ms, answered 500" {
		t.Errorf("the record is %+v", c)
	}
}

// TestHolds: the second DELETE is held before the server acts, reported, and released.
func TestHolds(t *testing.T) {
	for _, when := range []string{HoldBefore, HoldAfter} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			w.register("a1")
			w.register("a2")
			id, err := w.AddHold(Hold{Method: "DELETE", Path: "/agents/", Nth: 2, When: when})
			if err != nil {
				t.Fatal(err)
			}
			w.want(204, w.call("DELETE", agents+"/1"+v71, w.admin(), nil))
			answer := make(chan got, 1)
			go func() {
				g, _ := w.try(w.ctx(), "DELETE", agents+"/2"+v71, w.admin(), nil)
				answer <- g
			}()
			if err := w.WaitHold(w.ctx(), id); err != nil {
				t.Fatal(err)
			}
			if gone := w.State().Pool("Default").Agent("a2") == nil; gone != (when == HoldAfter) {
				t.Errorf("held %s the server acted: %v", when, gone)
			}
			calls := w.Calls()
			if last := calls[len(calls)-1]; last.Done {
				t.Errorf("the held call's record is %+v", last)
			}
			if err := w.Release(id); err != nil {
				t.Fatal(err)
			}
			w.want(204, <-answer)
			if err := w.Release(id); err != nil {
				t.Errorf("released twice: %v", err)
			}
		})
	}
}

// TestHeldCallOutlivesItsClient: the server acts late, although the client gave up.
func TestHeldCallOutlivesItsClient(t *testing.T) {
	w := newWorld(t)
	id, err := w.AddHold(Hold{Method: "POST", Path: "/agents"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx())
	failed := make(chan error, 1)
	go func() {
		_, err := w.try(ctx, "POST", agents+v71, w.admin(), agentBody("late"))
		failed <- err
	}()
	if err := w.WaitHold(w.ctx(), id); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.ReleaseAll()
	w.waitFor(EventAgentAdded)
}

func TestHoldErrors(t *testing.T) {
	w := newWorld(t)
	for _, h := range []Hold{{Path: "("}, {When: "later"}} {
		if _, err := w.AddHold(h); err == nil {
			t.Errorf("%+v was accepted", h)
		}
	}
	if err := w.Release("hold-9"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := w.WaitHold(w.ctx(), "hold-9"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	id, _ := w.AddHold(Hold{Path: "pools"})
	if err := w.Release(id); err != nil { // before it held a call: the call passes
		t.Fatal(err)
	}
	w.want(200, w.call("GET", pools, w.admin(), nil))
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	id, _ = w.AddHold(Hold{Path: "pools"})
	if err := w.WaitHold(ctx, id); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestServe: the end of the context releases held calls and long polls, and leaves no goroutine
// (TestMain checks).
func TestServe(t *testing.T) {
	e, err := New(Options{KeyOf: keyHolder()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, ln) }()
	w := &world{t, e, "http://" + ln.Addr().String(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	l := w.start("a1")
	id, err := e.AddHold(Hold{Path: "/pools$"})
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 3)
	go func() { _, err := l.poll(t.Context(), 0); ends <- err }()
	go func() { _, err := w.try(t.Context(), "GET", pools, w.admin(), nil); ends <- err }()
	go func() { _, err := e.Events(t.Context(), 1e6); ends <- err }()
	if err := e.WaitHold(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := e.WaitState(ctx, func(s State) bool { return s.Pool("Default").Agent("a1").Session.Polling }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	var closed, broken int
	for range 3 {
		switch err := <-ends; {
		case errors.Is(err, ErrClosed):
			closed++
		case err != nil && (errors.Is(err, io.EOF) || strings.Contains(err.Error(), "EOF")):
			broken++
		case err != nil:
			t.Error(err)
		}
	}
	if closed != 1 || broken != 1 {
		t.Errorf("%d waits closed, %d calls broken off", closed, broken)
	}
	e.Close() // a second Close has no effect
}

func TestServeFails(t *testing.T) {
	e, err := New(Options{KeyOf: keyHolder()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := e.Serve(t.Context(), ln); err == nil {
		t.Error("served on a closed listener")
	}
}

// TestTimeScale: at scale 100 a session expires after 3 s of the same clock.
func TestTimeScale(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.TimeScale = 100 })
	w.start("a1")
	w.Advance(3*time.Second - 1)
	if w.State().Pool("Default").Agent("a1").Status != "online" {
		t.Error("the session ended early")
	}
	w.Advance(1)
	if w.State().Pool("Default").Agent("a1").Status != "offline" {
		t.Error("the session did not end")
	}
}

// TestTimer: with the real clock, sessions and polls end without a call.
func TestTimer(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Now, o.TimeScale = nil, 100 })
	l := w.start("a1")
	g, err := l.poll(w.ctx(), 0)
	if err != nil || g.StatusCode != 200 || g.raw != "" {
		t.Errorf("an idle poll answered %d %q, %v", g.StatusCode, g.raw, err)
	}
	w.waitFor(EventSessionExpired)
}

// TestWaitReadsOtherState: a test that waits for a state or a job can also check the calls, and it
// sees each call.
func TestWaitReadsOtherState(t *testing.T) {
	w := newWorld(t)
	l := w.start("a1")
	made := len(w.Calls())
	go func() { _, _ = l.poll(t.Context(), 0) }()
	if _, err := w.WaitState(w.ctx(), func(State) bool { return len(w.Calls()) > made }); err != nil {
		t.Fatal(err)
	}
	id := must(w.QueueJob(JobSpec{})).RequestID
	if _, _, err := w.WaitJob(w.ctx(), id, func(Job, string) bool { return len(w.State().Jobs) > 0 && len(w.Calls()) > made }); err != nil {
		t.Fatal(err)
	}
}
