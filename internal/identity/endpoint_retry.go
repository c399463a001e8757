package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The pauses between two tries: an endpoint that refuses connections is a
// neighbour, and asking it costs nothing; one that answers that it is not ready
// wants at least a second (identity.md 1.4).
const (
	minRefusedPause = 200 * time.Millisecond
	maxRefusedPause = 2 * time.Second
	minStatusPause  = time.Second
	maxStatusPause  = 10 * time.Second
)

// doWithRetry makes a request, and again while what keeps it from an answer is
// known to pass.
func (e *endpoint) doWithRetry(r *http.Request) (*http.Response, error) {
	pause, said := time.Duration(0), ""
	for {
		resp, err := e.http.Do(r)
		if r.Context().Err() != nil {
			return resp, err
		}
		why, first, last := e.retryReason(resp, err)
		pause = max(min(pause*2, last), first)
		if why == "" || !time.Now().Add(pause).Before(e.deadline) {
			return resp, err
		}
		if said != why {
			said = why
			e.log.Info("Waiting for the identity endpoint: it "+why,
				"endpoint", r.URL.Host, "at_most", time.Until(e.deadline).Round(time.Second).String())
		}
		if sleep(r.Context(), pause) != nil {
			return resp, err // that it refuses says more than that time is up
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
}

// retryReason says what is wrong with an endpoint that need only be waited for, and
// the shortest and longest pause; "" where waiting does not help.
func (e *endpoint) retryReason(resp *http.Response, err error) (why string, first, last time.Duration) {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		// Container Apps starts the endpoint beside the container, not before it
		// (identity.md 1.5).
		return "refuses connections", minRefusedPause, maxRefusedPause
	case e.host != MetadataService:
		return "", 0, 0
	case errors.As(err, &op) && op.Op == "dial":
		// On Container Instances "not yet" and "not at all" look the same
		// (identity.md 1.3).
		return "is not there", minRefusedPause, maxRefusedPause
	case err == nil && isTransientStatus(resp.StatusCode):
		return fmt.Sprintf("answers %d", resp.StatusCode), minStatusPause, maxStatusPause
	}
	return "", 0, 0
}

// isTransientStatus says that the metadata service's answer is about its own condition
// (identity.md 1.4). Other refusals are final.
func isTransientStatus(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
