package lifecycle

import (
	"testing"
	"time"
)

// TestNextRetry: NextRetry is set only between a failed call and its retry.
func TestNextRetry(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := New(Policy{Grace: 30 * time.Second})
	quiet := func(when string) {
		t.Helper()
		if at, until := s.NextRetry(); !at.IsZero() || !until.IsZero() {
			t.Errorf("%s: %v, %v", when, at, until)
		}
	}
	step := func(e Event, at time.Time) { s, _ = Step(s, e, at) }
	quiet("before anything")
	step(Begin{}, began)
	quiet("the first call is under way")
	failed := began.Add(time.Second)
	step(PrepareResult{Result: Result{Outcome: Unreachable}}, failed)
	at, until := s.NextRetry()
	if !at.After(failed) || !until.After(at) || at != s.NextTick() {
		t.Errorf("after a failure: %v, %v", at, until)
	}
	step(Tick{}, at)
	quiet("the second call is under way")
	step(PrepareResult{Result: Result{Outcome: OK}}, at.Add(time.Second))
	quiet("it was answered")
}

// TestJitter: many agents that fail at the same moment retry at different moments, at
// most half of the pause late. The jitter of one agent and try is always the same.
func TestJitter(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	when := func(seed uint64, tries int) time.Duration {
		x := transition{State: State{policy: Policy{JitterSeed: seed}, call: callState{failures: tries}}, now: began}
		if !x.retry(Register, Result{RetryAfter: 20 * time.Second}, time.Time{}) {
			t.Fatal("gives up")
		}
		return x.call.nextAt.Sub(began)
	}
	seen := map[time.Duration]bool{}
	for seed := range uint64(100) {
		at := when(seed+1, 0)
		if at < 20*time.Second || at >= 30*time.Second {
			t.Errorf("seed %d: after %v", seed, at)
		}
		if at != when(seed+1, 0) {
			t.Errorf("seed %d: two different pauses", seed)
		}
		seen[at.Truncate(100*time.Millisecond)] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 agents retry in only %d different tenths of a second", len(seen))
	}
	if when(1, 0) == when(1, 1) {
		t.Error("two tries of one agent have the same pause")
	}
}
