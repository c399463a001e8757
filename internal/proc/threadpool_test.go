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

// TestThreadsHang: a function that hangs takes one thread. If all hang, the next function
// fails after threadTimeout. It runs again when one is free.
func TestThreadsHang(t *testing.T) {
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
			t.Errorf("while one hangs: %v", err)
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
			t.Errorf("a caller whose context ends earlier: %v", err)
		}
		close(hang)
		if err := c.run(context.Background(), ready); err != nil {
			t.Errorf("after the hang: %v", err)
		}
	})
}

func TestThreadsCannotBePrepared(t *testing.T) {
	want := errors.New("no")
	if _, err := newThreadPool(3, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}
