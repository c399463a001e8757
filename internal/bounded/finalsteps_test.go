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

// TestFinalSteps: a step that hangs is logged, and not waited for.
func TestFinalSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		steps := FinalSteps{Log: slog.New(slog.NewTextHandler(&logged, nil))}
		stuck := make(chan struct{})
		begun := time.Now()
		steps.Do("closing the control socket", 2*time.Second, func() { <-stuck })
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(logged.String(), `step="closing the control socket"`) {
			t.Errorf("it logged %q", logged.String())
		}
		close(stuck)
		logged.Reset()
		steps.Do("nothing", 2*time.Second, func() {})
		if logged.Len() > 0 {
			t.Errorf("it logged %q about a step that did not hang", logged.String())
		}
	})
}

// TestFinalStepsEndInTime: all steps that hang share the time until the deadline.
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

// TestFinalStepsEndSooner: a deadline that is set while a step hangs applies to that step.
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
