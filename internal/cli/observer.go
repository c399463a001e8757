package cli

import (
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// observer logs each request for those who debug, and once for everybody that the
// server slows this identity down: by its own word for what is used too much, for
// that is what support asks about.
func observer(log *slog.Logger) func(azdo.Observation) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(o azdo.Observation) {
		args := []any{"method", o.Method, "path", o.Path, "status", o.Status, "ms", o.Took.Milliseconds()}
		if !o.Throttle.IsZero() {
			args = append(args, throttle(o.Throttle)...)
		}
		log.Debug("Called Azure DevOps", args...)
		if !slows(o.Throttle) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if !said[o.Throttle.Resource] {
			said[o.Throttle.Resource] = true
			log.Warn("Azure DevOps slows this identity down: it makes too many requests", throttle(o.Throttle)...)
		}
	}
}

// slows tells an answer that was slowed down from one that only shows how much is
// left, and from an outage with a time to come back at.
func slows(t azdo.Throttle) bool {
	return t.Delay > 0 || (t.RetryAfter > 0 && (t.Resource != "" || t.Remaining != ""))
}

func throttle(t azdo.Throttle) []any {
	args := []any{"resource", t.Resource, "limit", t.Limit, "remaining", t.Remaining, "delay", t.Delay.String(), "retry_after", t.RetryAfter.String()}
	if !t.Reset.IsZero() {
		args = append(args, "reset", t.Reset.Format(time.RFC3339))
	}
	return args
}
