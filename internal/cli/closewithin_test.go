package cli

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

// A step that is stuck at the end is named, and not waited for.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		stuck := make(chan struct{})
		begun := time.Now()
		closeWithin(&graceEnd{}, log, "the control socket", 2*time.Second, func() { <-stuck })()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(said.String(), `step="the control socket"`) {
			t.Errorf("it said %q", said.String())
		}
		close(stuck)
		said.Reset()
		closeWithin(&graceEnd{}, log, "nothing", 2*time.Second, func() {})()
		if said.Len() > 0 {
			t.Errorf("it said %q of what was not stuck", said.String())
		}
	})
}

// However many steps are stuck, they share what is left of the grace period.
func TestClosingEndsWithTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		defer close(stuck)
		begun := time.Now()
		grace := &graceEnd{at: begun.Add(600 * time.Millisecond)}
		for range 3 {
			closeWithin(grace, slog.New(slog.DiscardHandler), "something", 7*time.Second, func() { <-stuck })()
		}
		if took := time.Since(begun); took > 600*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		if n, err := waitBriefly(ctx, func() (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		go func() {
			time.Sleep(time.Minute)
			cancel()
		}()
		begun, stuck := time.Now(), make(chan struct{})
		_, err := waitBriefly(ctx, func() (int, error) { <-stuck; return 7, nil })
		if took := time.Since(begun); took != time.Minute+closeTimeout || !errors.Is(err, context.Canceled) {
			t.Errorf("it took %v, and returned %v", took, err)
		}
		close(stuck)
	})
}
