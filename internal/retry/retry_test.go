package retry_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

var errTransient, errFinal = errors.New("transient"), errors.New("final")

// The errors of a host that refuses connections, and of one that does not respond.
var (
	errRefused    error = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	errUnanswered error = &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}}
)

// fails is a call that fails with these errors, and then succeeds.
func fails(tries *int, errs ...error) func(context.Context) error {
	return func(context.Context) error {
		*tries++
		if *tries <= len(errs) {
			return errs[*tries-1]
		}
		return nil
	}
}

func TestDo(t *testing.T) {
	forever := make([]error, 1000)
	for i := range forever {
		forever[i] = errTransient
	}
	for name, c := range map[string]struct {
		policy      retry.Policy
		errs        []error
		want        error
		tries       int
		least, most time.Duration
	}{
		"success":       {policy: retry.Policy{Tries: 3}, tries: 1},
		"pauses double": {retry.Policy{First: time.Second, Max: 4 * time.Second, Tries: 9}, forever[:5], nil, 6, 15 * time.Second / 2, 15 * time.Second * 3 / 2},
		"final":         {retry.Policy{First: time.Second, Max: time.Second, Tries: 9}, []error{errTransient, errFinal}, errFinal, 2, time.Second / 2, 3 * time.Second / 2},
		"tries":         {retry.Policy{First: time.Second, Max: time.Second, Tries: 3}, forever, errTransient, 3, time.Second, 3 * time.Second},
		"no budget":     {retry.Policy{First: time.Second, Max: time.Second, Budget: -1}, forever, errTransient, 1, 0, 0},
		"at least": {retry.Policy{First: time.Second, Max: time.Second, Tries: 3, AtLeast: func(error) time.Duration { return time.Minute }},
			forever, errTransient, 3, 2 * time.Minute, 2 * time.Minute},
		"unreachable":                 {retry.Policy{First: time.Second, Max: time.Second, Budget: time.Hour, MaxUnreachable: 2}, []error{errRefused, errRefused}, errRefused, 2, time.Second / 2, 3 * time.Second / 2},
		"reached, then unreachable":   {retry.Policy{First: time.Second, Max: time.Second, Budget: time.Hour, MaxUnreachable: 2}, []error{errRefused, errTransient, errRefused, errUnanswered, errRefused}, nil, 6, 5 * time.Second / 2, 15 * time.Second / 2},
		"a connect timeout":           {retry.Policy{First: time.Second, Max: time.Second, Budget: time.Hour, MaxUnreachable: 9}, []error{errUnanswered}, errUnanswered, 1, 0, 0},
		"unreachable without a limit": {retry.Policy{First: time.Second, Max: time.Second, Tries: 5}, []error{errRefused, errUnanswered, errRefused}, nil, 4, 3 * time.Second / 2, 9 * time.Second / 2},
		"a pause that exceeds the budget": {retry.Policy{First: time.Second, Max: time.Second, Budget: time.Minute, AtLeast: func(error) time.Duration { return time.Hour }},
			forever, errTransient, 1, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, tries, pauses := time.Now(), 0, 0
			c.policy.Retryable = func(err error) bool { return err != errFinal }
			c.policy.OnRetry = func(error, time.Duration) { pauses++ }
			err := c.policy.Do(t.Context(), fails(&tries, c.errs...))
			if took := time.Since(began); err != c.want || tries != c.tries || pauses != c.tries-1 || took < c.least || took > c.most {
				t.Errorf("%s: %v after %d tries, %d pauses and %v; want %v after %d tries and %v to %v",
					name, err, tries, pauses, took, c.want, c.tries, c.least, c.most)
			}
		})
	}
}

func TestDoWithinBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		var last time.Duration
		err := retry.Policy{First: time.Second, Max: 8 * time.Second, Budget: time.Minute}.Do(t.Context(), func(context.Context) error {
			tries++
			last = time.Since(began)
			return errTransient
		})
		if err != errTransient || last > time.Minute || last < time.Minute-12*time.Second {
			t.Errorf("%v, the last of %d tries after %v", err, tries, last)
		}
	})
}

func TestDoEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		began := time.Now()
		err := retry.Policy{First: time.Hour, Max: time.Hour, Tries: 9}.Do(ctx, func(context.Context) error { return errTransient })
		if err != errTransient || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestPause(t *testing.T) {
	for times, want := range map[int]time.Duration{-1: time.Second, 0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 5: 30 * time.Second, 1 << 40: 30 * time.Second} {
		if got := retry.Pause(times, time.Second, 30*time.Second); got != want {
			t.Errorf("after %d times: %v, want %v", times, got, want)
		}
	}
	if got := retry.Pause(3, time.Hour, time.Minute); got != time.Minute {
		t.Errorf("%v is more than the longest pause", got)
	}
}
