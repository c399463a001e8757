package pool

import (
	"context"
	"fmt"
	"sync"
)

// concurrency is how many agents are looked after at a time. It bounds what a keeper or
// a person's prune takes of the identity's rate limit (azure-devops-rest.md 3), and
// hides most of a far server's round trips.
const concurrency = 4

// forEach does one thing about each of several agents, some at a time, and calls
// each with one result at a time, in the order in which they come. The first error
// stops what has not begun, and cuts short what has.
func forEach[A, R any](outer context.Context, agents []A, do func(context.Context, A) (R, error), each func(R)) error {
	ctx, stop := context.WithCancelCause(outer)
	defer stop(nil)
	var (
		workers sync.WaitGroup
		telling sync.Mutex
	)
	todo := make(chan A)
	for range min(concurrency, len(agents)) {
		workers.Go(func() {
			for a := range todo {
				result, err := do(ctx, a)
				if err != nil {
					stop(err)
					continue // todo is closed soon
				}
				telling.Lock()
				each(result)
				telling.Unlock()
			}
		})
	}
	for _, a := range agents {
		if ctx.Err() != nil {
			break
		}
		todo <- a
	}
	close(todo)
	workers.Wait()
	if outer.Err() != nil {
		return fmt.Errorf("cannot continue: %w", context.Cause(outer))
	}
	return context.Cause(ctx)
}
