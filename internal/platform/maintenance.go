package platform

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// maxNotice is the longest notice that Azure gives, except for failing hardware
// (docs/platforms.md). For an event that is announced days before, the drain begins this long
// before it, or earlier if a job may take longer.
const maxNotice = 15 * time.Minute

// Maintenance drains the agents before Azure ends this machine. If it is nil, its methods do
// nothing.
type Maintenance struct {
	log        *slog.Logger
	metadata   *Metadata
	lead       time.Duration
	approve    bool
	drainedFor map[string]Event // by id
}

// NewMaintenance returns a Maintenance if systemd runs azptend. Otherwise it returns nil: in a
// container, the platform sends SIGTERM. client must not use a proxy. approve says whether to
// approve events after the drain.
func NewMaintenance(on Platform, client *http.Client, grace time.Duration, approve bool, log *slog.Logger) *Maintenance {
	if on != Systemd {
		log.Debug("Not watching for scheduled events of the machine: azptend does not run as a systemd unit", "platform", on)
		if approve {
			log.Warn("AZP_APPROVE_EVENTS (--approve-events) is not used: azptend does not run as a systemd unit", "platform", on)
		}
		return nil
	}
	return &Maintenance{log: log, metadata: &Metadata{HTTP: client}, lead: max(grace, maxNotice), approve: approve, drainedFor: map[string]Event{}}
}

// WaitUntilOver waits while an event is about to end this machine: azptend has drained because
// of it, and the unit's Restart= has started it again. It returns early if ctx ends.
func (m *Maintenance) WaitUntilOver(ctx context.Context) {
	if m == nil {
		return
	}
	m.metadata.WaitForMaintenance(ctx, m.lead, func(e Event) {
		m.log.Warn("Not starting an agent: Azure is about to stop or restart this machine. Waiting until the event is over or cancelled", eventAttrs(e)...)
	})
}

// Watch calls drain before the end of this machine, until ctx ends. by is when the machine
// ends; zero: at any moment.
func (m *Maintenance) Watch(ctx context.Context, drain func(reason string, by time.Time)) {
	if m == nil {
		return
	}
	w := &Watcher{
		Metadata: m.metadata, Lead: m.lead,
		OnAnnounced: func(e Event) {
			m.log.Warn("Azure announced an event that interrupts this machine", append(eventAttrs(e), "drains_within", m.lead.String())...)
		},
		OnDue: func(e Event) {
			m.drainedFor[e.ID] = e
			m.log.Warn("Draining: the announced event is near", eventAttrs(e)...)
			drain(fmt.Sprintf("announced by Azure: %s of this machine", e.Kind), e.NotBefore)
		},
		OnReachable: func(err error) {
			if err != nil {
				m.log.Debug("Cannot read scheduled events", "error", err)
				return
			}
			m.log.Debug("Scheduled events reachable again")
		},
	}
	w.Run(ctx)
}

// ApprovalTimeout bounds Approve.
const ApprovalTimeout = 5 * time.Second

// Approve approves the events for which the agents have drained, after Watch has returned. It
// does not approve events that concern other machines too, because jobs may run there.
func (m *Maintenance) Approve() {
	if m == nil || !m.approve {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), ApprovalTimeout)
	defer cancel()
	for _, e := range m.drainedFor {
		switch {
		case e.Started:
			continue
		case len(e.OtherMachines) > 0:
			m.log.Warn("Did not approve the scheduled event: it is about other machines too", eventAttrs(e)...)
			continue
		}
		if err := m.metadata.Approve(ctx, e.ID); err != nil {
			m.log.Warn("Cannot approve the scheduled event: Azure waits until its time", "error", err)
		} else {
			m.log.Info("Approved the scheduled event: Azure need not wait any longer", eventAttrs(e)...)
		}
	}
}

func eventAttrs(e Event) []any {
	at := "now"
	if !e.NotBefore.IsZero() {
		at = e.NotBefore.UTC().Format(time.RFC3339)
	}
	return []any{"event", e.Kind, "not_before", at, "source", e.Source, "description", e.Description, "id", e.ID}
}
