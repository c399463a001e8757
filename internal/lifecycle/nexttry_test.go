package lifecycle

import (
	"testing"
	"time"
)

// TestNextTry: a person is told that a call that failed is made again, and until
// when; of a call that is under way, or that nothing failed before, there is
// nothing to tell.
func TestNextTry(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := New(Policy{Grace: 30 * time.Second})
	quiet := func(when string) {
		t.Helper()
		if at, until := s.NextTry(); !at.IsZero() || !until.IsZero() {
			t.Errorf("%s: %v, %v", when, at, until)
		}
	}
	step := func(e Event, at time.Time) { s, _ = Step(s, e, at) }
	quiet("before anything")
	step(Begin{}, began)
	quiet("the first call is under way")
	failed := began.Add(time.Second)
	step(Prepared{Result: Result{Outcome: Unreachable}}, failed)
	at, until := s.NextTry()
	if !at.After(failed) || !until.After(at) || at != s.Wake() {
		t.Errorf("after a failure: %v, %v", at, until)
	}
	step(Tick{}, at)
	quiet("the second call is under way")
	step(Prepared{Result: Result{Outcome: OK}}, at.Add(time.Second))
	quiet("it was answered")
}
