package platform

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// The timeouts and intervals of polling.
const (
	// pollInterval is what Azure recommends: the shortest notice is 30 s. A machine may
	// poll five times a second (Azure's pages on Scheduled Events and the Instance
	// Metadata Service).
	pollInterval = time.Second
	// maxPollInterval is the longest pause if the metadata service does not answer: it may be
	// blocked, or this machine may not be in Azure.
	maxPollInterval = time.Minute
	// firstTimeout is the timeout of the first request, which turns Scheduled Events on and may
	// take two minutes. requestTimeout is that of later ones.
	firstTimeout   = 150 * time.Second
	requestTimeout = 10 * time.Second
	// startupTimeout is the timeout in WaitForMaintenance, which must not delay a start outside
	// Azure. If an event is pending, Scheduled Events are on and answer within milliseconds.
	startupTimeout = time.Second
	// maxFailures is how many requests in a row may fail while WaitForMaintenance waits.
	maxFailures = 30
)

// Watcher polls the events that Azure announces for this machine.
type Watcher struct {
	Metadata *Metadata
	// Lead is how long before its time an event is due. For failing hardware, an event can be
	// announced days before.
	Lead time.Duration
	// OnAnnounced is called once for each event. OnDue is called when the event is due, and
	// again if Azure makes it earlier. Neither is called for an event that had started before
	// it was first seen, because this machine has booted since.
	OnAnnounced func(Event)
	OnDue       func(Event)
	OnReachable func(error) // an error: the service does not answer; nil: it answers again

	lastSeen    map[string]Event // by id, as they were last seen
	reportedDue map[string]bool  // by id
	failures    int
	answered    bool
}

// Run polls until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	w.lastSeen, w.reportedDue = map[string]Event{}, map[string]bool{}
	for {
		again := pollInterval
		if err := w.poll(ctx); err == nil {
			if w.failures > 0 {
				w.OnReachable(nil)
			}
			w.failures = 0
		} else if ctx.Err() == nil {
			if w.failures == 0 {
				w.OnReachable(err)
			}
			again = retry.Pause(w.failures, pollInterval, maxPollInterval)
			w.failures++
		}
		if retry.Sleep(ctx, again) != nil {
			return
		}
	}
}

func (w *Watcher) poll(ctx context.Context) error {
	patience := requestTimeout
	if !w.answered {
		patience = firstTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	notices, err := w.Metadata.Events(ctx)
	if err != nil {
		return err
	}
	w.answered = true
	for _, n := range notices {
		w.handle(n, time.Now())
	}
	return nil
}

func (w *Watcher) handle(n Event, now time.Time) {
	before, known := w.lastSeen[n.ID]
	switch {
	case !known && n.Started:
		return
	case !known:
		w.OnAnnounced(n)
	case w.reportedDue[n.ID] && !n.isEarlierThan(before):
		return
	}
	w.lastSeen[n.ID] = n
	if n.isDue(w.Lead, now) {
		w.reportedDue[n.ID] = true
		w.OnDue(n)
	}
}

// isEarlierThan says whether an event ends the machine earlier than announced before.
func (n Event) isEarlierThan(before Event) bool {
	if n.Started {
		return !before.Started
	}
	return !n.NotBefore.IsZero() && n.NotBefore.Before(before.NotBefore)
}

// WaitForMaintenance waits while an event that ends this machine is due within lead: systemd
// restarts azptend after it drained, and it would only drain again, perhaps with another job.
// It returns when the event is over or cancelled, or when ctx ends, and at once if there is no
// event or the service does not answer. It calls onWait once for each event.
func (m *Metadata) WaitForMaintenance(ctx context.Context, lead time.Duration, onWait func(Event)) {
	pending := map[string]bool{}
	for failures := 0; failures < maxFailures; {
		attempt, cancel := context.WithTimeout(ctx, startupTimeout)
		notices, err := m.Events(attempt)
		cancel()
		quiet := true
		for _, n := range notices {
			if !n.isDue(lead, time.Now()) || (n.Started && !pending[n.ID]) { // over: this machine has booted since
				continue
			}
			if quiet = false; !pending[n.ID] {
				pending[n.ID] = true
				onWait(n)
			}
		}
		switch {
		case err == nil && quiet, err != nil && len(pending) == 0:
			return
		case err != nil:
			failures++
		default:
			failures = 0
		}
		if retry.Sleep(ctx, pollInterval) != nil {
			return
		}
	}
}

// isDue says whether an event's time has come, or comes within lead.
func (n Event) isDue(lead time.Duration, now time.Time) bool {
	return n.Started || n.NotBefore.IsZero() || !now.Before(n.NotBefore.Add(-lead))
}
