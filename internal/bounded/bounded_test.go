package bounded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestCall(t *testing.T) {
	failed, ended := errors.New("it failed"), errors.New("no time left")
	for _, tt := range []struct {
		name  string
		takes time.Duration
		value int
		err   error
		late  int
	}{
		{"in time", time.Second, 7, failed, 0},
		{"too late", time.Minute, 0, ended, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, ended)
				defer cancel()
				late := 0
				value, err := Call(ctx, func() (int, error) { time.Sleep(tt.takes); return 7, failed },
					func(v int, _ error) { late = v })
				if value != tt.value || !errors.Is(err, tt.err) {
					t.Errorf("it returns %d, %v", value, err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if late != tt.late {
					t.Errorf("the late result is %d", late)
				}
			})
		})
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if !Within(2*time.Second, func() { time.Sleep(time.Second) }) {
			t.Error("one that returns in time is given up")
		}
		if Within(time.Second, func() { time.Sleep(time.Hour) }) {
			t.Error("one that does not return is waited for")
		}
		time.Sleep(time.Hour) // until it has returned
	})
}
