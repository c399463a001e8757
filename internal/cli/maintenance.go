package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/supervisor"
)

// maxNotice is the most that Azure gives before an event that does not come
// from failing hardware (docs/platforms.md). That is when a drain begins for
// one that is announced days before, or sooner where a job may take longer.
const maxNotice = 15 * time.Minute

// maintenance are what Azure announces for this machine, and what becomes of it.
type maintenance struct {
	log        *slog.Logger
	metadata   *platform.Metadata
	lead       time.Duration
	approve    bool
	drainedFor map[string]platform.Event // by id: for which the agent was drained
}

// newMaintenance is nil where nobody is asked. A machine is where systemd is; a
// container does not hear of its host's end, its platform tells it by SIGTERM.
func newMaintenance(s config.Settings, on platform.Platform, log *slog.Logger) *maintenance {
	if on != platform.Systemd {
		log.Debug("Scheduled events of the machine are not watched for: this is no systemd unit", "platform", on)
		if s.ApproveEvents {
			log.Warn("AZP_APPROVE_EVENTS (--approve-events) is not used: this is no systemd unit", "platform", on)
		}
		return nil
	}
	return &maintenance{
		log: log, metadata: platform.NewMetadata(httpclient.ForIdentity(), ""), lead: max(s.Grace, maxNotice),
		approve: s.ApproveEvents, drainedFor: map[string]platform.Event{},
	}
}

// waitForMaintenance keeps an agent from starting into its machine's end, for which it has
// just been drained and a unit's Restart= has started it again. The end is one
// that was asked for meanwhile, nil when the life may begin.
func (n *maintenance) waitForMaintenance(heard <-chan proc.Signal) *supervisor.End {
	if n == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		n.metadata.WaitForMaintenance(ctx, n.lead, func(e platform.Event) {
			n.log.Warn("Not starting an agent: this machine is about to end. Waiting until that is over or called off", eventAttrs(e)...)
		})
	}()
	for {
		select {
		case <-quiet:
			return nil
		case h := <-heard:
			if h.Action == proc.Drain || h.Action == proc.Interrupt {
				cancel()
				<-quiet
				end := supervisor.End{Why: "asked to end before an agent was started"}
				n.log.Info("Left", "exit_code", end.Code, "why", end.Why)
				return &end
			}
		}
	}
}

// watch lets a life end before its machine does. The returned function ends the
// watching, after the life.
func (n *maintenance) watch(lines supervisor.Group) (done func()) {
	if n == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		n.watcher(ctx, lines).Run(ctx)
	})
	return func() {
		cancel()
		watching.Wait()
		n.approveEvents()
	}
}

func (n *maintenance) watcher(ctx context.Context, lines supervisor.Group) *platform.Watcher {
	return &platform.Watcher{
		Metadata: n.metadata, Lead: n.lead,
		OnAnnounced: func(e platform.Event) {
			n.log.Warn("Azure has announced the end of this machine", append(eventAttrs(e), "drains_within", n.lead.String())...)
		},
		OnDue: func(e platform.Event) {
			n.drainedFor[e.ID] = e
			n.log.Warn("Draining: the end of this machine is near", eventAttrs(e)...)
			_, _ = lines.DrainBy(ctx, fmt.Sprintf("announced by Azure: %s of this machine", e.Kind), e.NotBefore)
		},
		OnReachable: func(err error) {
			if err != nil {
				n.log.Debug("Cannot hear of scheduled events: is there a metadata service?", "error", err)
				return
			}
			n.log.Debug("Hears of scheduled events again")
		},
	}
}

func eventAttrs(e platform.Event) []any {
	return []any{"event", e.Kind, "not_before", moment(e.NotBefore), "source", e.Source, "description", e.Description, "id", e.ID}
}

func moment(at time.Time) string {
	if at.IsZero() {
		return "now"
	}
	return at.UTC().Format(time.RFC3339)
}

// approvalTimeout bounds what is only a courtesy.
const approvalTimeout = 5 * time.Second

// approveEvents approves the events for which the agent has drained, if a person has
// allowed it. One that is about other machines too is left alone: their jobs run.
func (n *maintenance) approveEvents() {
	if !n.approve {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), approvalTimeout)
	defer cancel()
	for _, e := range n.drainedFor {
		switch {
		case e.Started:
			continue
		case len(e.OtherMachines) > 0:
			n.log.Warn("Did not approve the scheduled event: it is about other machines too", eventAttrs(e)...)
			continue
		}
		if err := n.metadata.Approve(ctx, e.ID); err != nil {
			n.log.Warn("Could not approve the scheduled event: it comes when its time has come", "error", err)
		} else {
			n.log.Info("Approved the scheduled event: Azure need not wait any longer", eventAttrs(e)...)
		}
	}
}
