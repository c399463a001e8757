package proc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// threadPool is a fixed number of threads, each of which was prepared at its start and runs
// one function at a time.
type threadPool chan func()

// threadTimeout is how long a function waits for a thread.
const threadTimeout = 10 * time.Second

// newThreadPool makes and prepares threads. They run until the process ends.
func newThreadPool(size int, prepare func() error) (threadPool, error) {
	c := make(threadPool)
	prepared := make(chan error, size)
	for range size {
		onOwnThread(func() {
			err := prepare()
			prepared <- err
			if err != nil {
				return
			}
			for f := range c {
				f()
			}
		})
	}
	var failed error
	for range size {
		failed = errors.Join(failed, <-prepared)
	}
	if failed != nil {
		close(c)
		return nil, failed
	}
	return c, nil
}

// run runs f on the next free thread, and waits for its end. It waits for a free thread until
// ctx ends, at most for threadTimeout: threads may hang, and creating a new one is not safe.
func (c threadPool) run(ctx context.Context, f func() error) error {
	ctx, done := context.WithTimeoutCause(ctx, threadTimeout, ErrThreadsBusy)
	defer done()
	result := make(chan error, 1)
	select {
	case c <- func() { result <- f() }:
		return <-result
	case <-ctx.Done():
		return fmt.Errorf("cannot act as another user: %w", context.Cause(ctx))
	}
}
