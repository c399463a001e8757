package azdo

import (
	"log/slog"
	"sync"
	"time"
)

// clockTolerance is how far our clock and the server's may differ. From about five minutes on,
// the server refuses the listener's logon (agent-protocol.md 10, the 11th), and the listener
// retries for half an hour.
const clockTolerance = 4 * time.Minute

// RequestLogger logs each request at debug level. It warns once if the clock is wrong, and once
// if the server throttles this identity, with the server's name of the resource, because
// Microsoft's support asks for it. It also calls others for each request.
func RequestLogger(log *slog.Logger, others ...func(Observation)) func(Observation) {
	var mu sync.Mutex
	var clock sync.Once
	said := map[string]bool{}
	return func(o Observation) {
		for _, tell := range others {
			tell(o)
		}
		if o.ServerAhead.Abs() > clockTolerance {
			clock.Do(func() { warnClock(log, o.ServerAhead) })
		}
		args := []any{"method", o.Method, "path", o.Path, "status", o.Status, "ms", o.Duration.Milliseconds()}
		if (o.Throttle != Throttle{}) {
			args = append(args, throttleArgs(o.Throttle)...)
		}
		log.Debug("Called Azure DevOps", args...)
		if !o.Throttled() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if !said[o.Throttle.Resource] {
			said[o.Throttle.Resource] = true
			log.Warn("Azure DevOps throttles this identity: it makes too many requests", throttleArgs(o.Throttle)...)
		}
	}
}

func warnClock(log *slog.Logger, ahead time.Duration) {
	direction := "behind"
	if ahead < 0 {
		direction = "ahead"
	}
	log.Warn("Clock skew: from five minutes on the agent cannot log on", "direction", direction,
		"skew", ahead.Abs().Round(time.Second).String(), "hint", "set the clock; in a container it is the host's")
}

func throttleArgs(t Throttle) []any {
	args := []any{"resource", t.Resource, "limit", t.Limit, "remaining", t.Remaining, "delay", t.Delay.String(), "retry_after", t.RetryAfter.String()}
	if !t.Reset.IsZero() {
		args = append(args, "reset", t.Reset.Format(time.RFC3339))
	}
	return args
}
