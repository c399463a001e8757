package emulator

import (
	"strings"
	"testing"
	"time"
)

// TestRateLimit: no headers far below the limit, headers near it, delays above it and refusals far
// above it. All of them end as the window moves on.
func TestRateLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.TimeScale = 1000; o.RateLimit = RateLimit{Budget: 10} })
	auth := w.admin()
	ask := func(status int) got {
		return w.want(status, w.call("GET", "/_apis/distributedtask/pools?api-version=7.1", auth, nil))
	}
	for n := 1; n <= 20; n++ {
		g := ask(200)
		switch h := g.Header; {
		case n < 8 && h.Get("X-RateLimit-Limit") != "":
			t.Errorf("call %d has headers: %v", n, h)
		case n >= 8 && (h.Get("X-RateLimit-Limit") != "10" || h.Get("X-RateLimit-Resource") == "" || h.Get("X-RateLimit-Reset") == ""):
			t.Errorf("call %d has no headers: %v", n, h)
		case n <= 10 && h.Get("Retry-After")+h.Get("X-RateLimit-Delay") != "":
			t.Errorf("call %d is within the limit: %v", n, h)
		case n > 10 && (h.Get("Retry-After") != "1" || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Delay") == ""):
			t.Errorf("call %d is over the limit: %v", n, h)
		}
	}
	g := ask(429)
	if g.text("typeKey") != "RequestBlockedException" || !strings.HasPrefix(g.text("message"), "TF400733: The request has been canceled: ") || g.Header.Get("Retry-After") != "1" {
		t.Errorf("the refusal is %s, %v", g.raw, g.Header)
	}
	calls := w.Calls()
	if last := calls[len(calls)-2]; last.Held <= 0 || calls[0].Held != 0 || calls[len(calls)-1].Held != 0 {
		t.Errorf("the records: %+v", calls)
	}
	other, err := w.PutPAT(PAT{Name: "another", Roles: Roles{AllPools: RoleReader}})
	if err != nil {
		t.Fatal(err)
	}
	if g := w.want(200, w.call("GET", "/_apis/distributedtask/pools?api-version=7.1", basic(other.Token), nil)); g.Header.Get("X-RateLimit-Limit") != "" {
		t.Errorf("another identity is limited: %v", g.Header)
	}
	w.Advance(rateWindow/1000 + time.Millisecond)
	if g := ask(200); g.Header.Get("X-RateLimit-Limit") != "" {
		t.Errorf("after the window: %v", g.Header)
	}
	if err := NewControl(w.url, w.client).SetRateLimit(w.ctx(), RateLimit{Budget: 1, BlockAt: 1}); err == nil {
		t.Error("a limit that refuses at once is taken")
	}
	if err := NewControl(w.url, w.client).SetRateLimit(w.ctx(), RateLimit{}); err != nil {
		t.Error(err)
	}
	for range 30 {
		ask(200)
	}
}
