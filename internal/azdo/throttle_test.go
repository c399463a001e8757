package azdo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Retry-After, as seconds or a date, on a refusal.
func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "0.5": 500 * time.Millisecond, "": 0, "-3": 0, "soon": 0, "NaN": 0, "1e300": time.Hour, "1e6": time.Hour,
		"Mon, 01 Jan 2001 00:00:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": time.Hour,
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", value)
			says(429, asJSON, `{"message":"TF400733"}`)(w, r)
		})
		err := s.client.RemoveAgent(t.Context(), 12, 7)
		var e *azdo.Error
		if !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("%q: %v, want %v", value, e.RetryAfter, want)
		}
	}
}

// TestRetryAfterByTheServersClock: a date in Retry-After is compared with the answer's Date.
func TestRetryAfterByTheServersClock(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Mon, 01 Jan 2001 00:00:00 GMT")
		w.Header().Set("Retry-After", "Mon, 01 Jan 2001 00:00:07 GMT")
		says(429, asJSON, `{"message":"TF400733"}`)(w, r)
	})
	err := s.client.RemoveAgent(t.Context(), 12, 7)
	var e *azdo.Error
	if !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
		t.Errorf("%v", e.RetryAfter)
	}
}

// answering is a server without a network, for synctest.
type answering func(*http.Request) *http.Response

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestTheServersDelayIsHonoured: after an answer with Retry-After, success or refusal, the
// next request waits, with up to a quarter of jitter.
func TestTheServersDelayIsHonoured(t *testing.T) {
	for _, status := range []int{200, 429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) { theServersDelay(t, status) })
	}
}

func theServersDelay(t *testing.T, status int) {
	synctest.Test(t, func(t *testing.T) {
		after := "20"
		about := func(got, want time.Duration) bool { return got >= want && got <= want+want/4 }
		var at []time.Time
		c := azdo.New("http://server", &http.Client{Transport: answering(func(r *http.Request) *http.Response {
			at = append(at, time.Now())
			return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Retry-After": {after}, "Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(`{"id":7}`))}
		})}, &tokens{}, nil)
		ask := func(ctx context.Context) time.Duration {
			t.Helper()
			begun := time.Now()
			if err := c.SetEnabled(ctx, 12, 7, false); (err != nil) != (status != 200) {
				t.Fatal(err)
			}
			return at[len(at)-1].Sub(begun)
		}
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		if waited := ask(t.Context()); waited != 0 {
			t.Errorf("the first request waited %v", waited)
		}
		if waited := ask(within(45 * time.Second)); !about(waited, 20*time.Second) {
			t.Errorf("the second waited %v, want 20s", waited)
		}
		if waited := ask(within(10 * time.Second)); waited != 0 {
			t.Errorf("one with ten seconds left waited %v: being delayed beats not asking", waited)
		}
		after = "999999"
		if waited := ask(within(time.Hour)); !about(waited, 20*time.Second) {
			t.Errorf("waited %v, want 20s", waited)
		}
		after = ""
		if waited := ask(t.Context()); !about(waited, time.Minute) {
			t.Errorf("a delay of eleven days was honoured for %v, want a minute", waited)
		}
		if waited := ask(t.Context()); waited != 0 {
			t.Errorf("with nothing asked for, waited %v", waited)
		}

		after = "20"
		ask(t.Context())
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		time.AfterFunc(time.Second, func() { cancel(enough) })
		n := len(at)
		if err := c.SetEnabled(ctx, 12, 7, false); !errors.Is(err, enough) || len(at) != n {
			t.Errorf("a wait that is cancelled: %v", err)
		}
	})
}

// TestThrottle: an Observation has the server's texts about its limits.
func TestThrottle(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Retry-After": "30", "X-RateLimit-Resource": "Git  /TFS", "X-RateLimit-Delay": "1.250", "X-RateLimit-Limit": "200",
			"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795377600",
		} {
			w.Header().Set(name, value)
		}
		says(200, asJSON, `{"id":7}`)(w, r)
	})
	var seen []azdo.Throttle
	c := azdo.New(s.URL, http.DefaultClient, s.tokens, func(o azdo.Observation) { seen = append(seen, o.Throttle) })
	defer http.DefaultClient.CloseIdleConnections()
	if err := c.SetEnabled(t.Context(), 12, 7, false); err != nil {
		t.Fatal(err)
	}
	want := azdo.Throttle{
		Resource: "Git /TFS", Limit: "200", Remaining: "0", Reset: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC),
		Delay: 1250 * time.Millisecond, RetryAfter: 30 * time.Second,
	}
	if len(seen) != 1 || seen[0] != want || (seen[0] == azdo.Throttle{}) {
		t.Errorf("got %+v, want %+v", seen, want)
	}
}
