package bounded

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A step that is stuck is named, and not waited for.
func TestFinalSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		steps := FinalSteps{Log: slog.New(slog.NewTextHandler(&said, nil))}
		stuck := make(chan struct{})
		begun := time.Now()
		steps.Do("closing the control socket", 2*time.Second, func() { <-stuck })
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(said.String(), `step="closing the control socket"`) {
			t.Errorf("it said %q", said.String())
		}
		close(stuck)
		said.Reset()
		steps.Do("nothing", 2*time.Second, func() {})
		if said.Len() > 0 {
			t.Errorf("it said %q about a step that was not stuck", said.String())
		}
	})
}

// However many steps are stuck, they share what is left until the deadline.
func TestFinalStepsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		defer close(stuck)
		begun := time.Now()
		steps := FinalSteps{Log: slog.New(slog.DiscardHandler), Least: 50 * time.Millisecond}
		steps.EndBy(begun.Add(600 * time.Millisecond))
		steps.EndBy(begun.Add(time.Hour)) // the earlier one counts
		for range 3 {
			steps.Do("something", 7*time.Second, func() { <-stuck })
		}
		if took := time.Since(begun); took > 600*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// A deadline that comes while a step is stuck counts for that step, too.
func TestFinalStepsEndSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		defer close(stuck)
		begun := time.Now()
		steps := FinalSteps{Log: slog.New(slog.DiscardHandler), Least: 50 * time.Millisecond}
		time.AfterFunc(time.Second, func() { steps.EndBy(begun.Add(2 * time.Second)) })
		if steps.Do("something", time.Minute, func() { <-stuck }) {
			t.Error("a stuck step has ended")
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCallLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		if n, err := CallLonger(ctx, time.Second, func() (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		go func() {
			time.Sleep(time.Minute)
			cancel()
		}()
		begun, stuck := time.Now(), make(chan struct{})
		_, err := CallLonger(ctx, 2*time.Second, func() (int, error) { <-stuck; return 7, nil })
		if took := time.Since(begun); took != time.Minute+2*time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("it took %v, and returned %v", took, err)
		}
		close(stuck)
	})
}
