//go:build linux

package proc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func ready() error { return nil }

// TestCrewOutlivesWhatHangs: one function that hangs takes one thread; when all
// hang, the next is refused in time, and served again later.
func TestCrewOutlivesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newThreadPool(2, ready)
		if err != nil {
			t.Fatal(err)
		}
		defer close(c)
		hang := make(chan struct{})
		stuck := func() error { <-hang; return nil }
		go func() { _ = c.run(context.Background(), stuck) }()
		synctest.Wait()
		want := errors.New("its own")
		if err := c.run(context.Background(), func() error { return want }); err != want {
			t.Errorf("beside one that hangs: %v", err)
		}
		go func() { _ = c.run(context.Background(), stuck) }()
		synctest.Wait()
		begun := time.Now()
		if err := c.run(context.Background(), ready); !errors.Is(err, ErrThreadsBusy) || time.Since(begun) != threadTimeout {
			t.Errorf("when all hang: %v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.run(ctx, ready); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller who leaves earlier: %v", err)
		}
		close(hang)
		if err := c.run(context.Background(), ready); err != nil {
			t.Errorf("when none hangs any more: %v", err)
		}
	})
}

func TestCrewThatCannotBePrepared(t *testing.T) {
	want := errors.New("no")
	if _, err := newThreadPool(3, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}
