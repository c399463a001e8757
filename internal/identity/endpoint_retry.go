package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// The pauses between two tries. An endpoint that refuses connections is next to us,
// and a try costs nothing. One that answers that it is not ready asks for at least a
// second (reference/identity.md 1.4).
const (
	minPause       = 200 * time.Millisecond
	minStatusPause = time.Second
	maxPause       = 5 * time.Second
)

// doWithRetry makes a request, and repeats it while the endpoint is still starting.
func (e *endpoint) doWithRetry(r *http.Request) (resp *http.Response, err error) {
	logged := ""
	policy := retry.Policy{
		First: minPause, Max: maxPause, Budget: time.Until(e.deadline),
		AtLeast: func(error) time.Duration {
			if resp != nil {
				return minStatusPause
			}
			return 0
		},
		OnRetry: func(reason error, _ time.Duration) {
			if logged != reason.Error() {
				logged = reason.Error()
				e.log.Info("Waiting for the identity endpoint: it "+logged,
					"endpoint", r.URL.Host, "at_most", time.Until(e.deadline).Round(time.Second).String())
			}
		},
	}
	_ = policy.Do(r.Context(), func(context.Context) error {
		if resp != nil { // of the try before
			resp.Body.Close()
		}
		resp, err = e.http.Do(r)
		return e.notReady(resp, err)
	})
	return resp, err
}

// notReady says why an endpoint only has to be waited for. It is nil for an answer,
// and where waiting does not help.
func (e *endpoint) notReady(resp *http.Response, err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		// Container Apps starts the endpoint beside the container, not before it
		// (reference/identity.md 1.5).
		return errors.New("refuses connections")
	case e.host != MetadataService:
		return nil
	case errors.As(err, &op) && op.Op == "dial":
		// On Container Instances "not yet" and "not at all" look the same
		// (reference/identity.md 1.3).
		return errors.New("does not exist")
	case err == nil && isTransientStatus(resp.StatusCode):
		return fmt.Errorf("answers %d", resp.StatusCode)
	}
	return nil
}

// isTransientStatus says that the metadata service's answer is about its own condition
// (reference/identity.md 1.4). Other refusals are final.
func isTransientStatus(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}
