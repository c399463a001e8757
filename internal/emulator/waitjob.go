package emulator

import (
	"context"
	"fmt"
)

// WaitJob waits until look, given a job and its log so far, says true, and returns what it was given. The error
// is ctx's, ErrClosed, or wraps ErrNotFound.
func (e *Emulator) WaitJob(ctx context.Context, requestID int64, look func(job Job, log string) bool) (Job, string, error) {
	var seen Job
	var log string
	var missing error
	err := e.await(ctx, func() {
		e.settle()
		j := e.jobNumbered(requestID)
		if j == nil {
			missing = fmt.Errorf("job request %d: %w", requestID, ErrNotFound)
			return
		}
		seen, log = j.public(), j.logText()
	}, func() bool { return missing != nil || look(seen, log) })
	if err == nil {
		err = missing
	}
	return seen, log, err
}
