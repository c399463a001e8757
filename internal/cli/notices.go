package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/host"
	"github.com/azptend/azptend/internal/tend"
	"github.com/azptend/azptend/internal/transport"
)

// longestNotice is the most that Azure gives before an event that does not come
// from failing hardware (peers-and-pains.md 6). That is when a drain begins for
// one that is announced days before, or sooner where a job may take longer.
const longestNotice = 15 * time.Minute

// watchNotices lets a life end before its machine does, where Azure announces
// that: on a machine, which is where systemd is. A container does not hear of its
// host's end: its platform tells it by SIGTERM. The returned function ends the
// watching, after the life.
func watchNotices(s config.Settings, platform host.Word, line *tend.Line, log *slog.Logger) (done func()) {
	if platform != host.Systemd {
		log.Debug("Scheduled events of the machine are not watched for: this is no systemd unit", "platform", platform)
		if s.ApproveEvents {
			log.Warn("AZP_APPROVE_EVENTS (--approve-events) is not used: this is no systemd unit", "platform", platform)
		}
		return func() {}
	}
	n := &notices{
		line: line, log: log, approve: s.ApproveEvents, heeded: map[string]host.Notice{},
		metadata: host.NewMetadata(transport.ForIdentity(), ""),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Add(1)
	go func() {
		defer watching.Done()
		n.watcher(ctx, max(s.Grace, longestNotice)).Run(ctx)
	}()
	return func() {
		cancel()
		watching.Wait()
		n.goAhead()
	}
}

// notices are what Azure announces for this machine, and what becomes of it.
type notices struct {
	line     *tend.Line
	log      *slog.Logger
	metadata *host.Metadata
	approve  bool
	heeded   map[string]host.Notice // by id: for which the agent was drained
}

func (n *notices) watcher(ctx context.Context, lead time.Duration) *host.Watcher {
	return &host.Watcher{
		Metadata: n.metadata, Lead: lead,
		Announced: func(e host.Notice) {
			n.log.Warn("Azure has announced the end of this machine", append(facts(e), "drains_within", lead.String())...)
		},
		Due: func(e host.Notice) {
			n.heeded[e.ID] = e
			n.log.Warn("Draining: the end of this machine is near", facts(e)...)
			_, _ = n.line.DrainBy(ctx, fmt.Sprintf("announced by Azure: %s of this machine", e.Kind), e.NotBefore)
		},
		Silent: func(err error) {
			if err != nil {
				n.log.Debug("Cannot hear of scheduled events: is there a metadata service?", "error", err)
				return
			}
			n.log.Debug("Hears of scheduled events again")
		},
	}
}

func facts(e host.Notice) []any {
	return []any{"event", e.Kind, "not_before", moment(e.NotBefore), "source", e.Source, "description", e.Description, "id", e.ID}
}

func moment(at time.Time) string {
	if at.IsZero() {
		return "now"
	}
	return at.UTC().Format(time.RFC3339)
}

// approvalPatience bounds what is only a courtesy.
const approvalPatience = 5 * time.Second

// goAhead approves the events for which the agent has drained, if a person has
// allowed it. One that is about other machines too is left alone: their jobs run.
func (n *notices) goAhead() {
	if !n.approve {
		return
	}
	for _, e := range n.heeded {
		switch {
		case e.Started:
			continue
		case len(e.Others) > 0:
			n.log.Warn("Did not approve the scheduled event: it is about other machines too", facts(e)...)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), approvalPatience)
		if err := n.metadata.Approve(ctx, e.ID); err != nil {
			n.log.Warn("Could not approve the scheduled event: it comes when its time has come", "error", err)
		} else {
			n.log.Info("Approved the scheduled event: Azure need not wait any longer", facts(e)...)
		}
		cancel()
	}
}
