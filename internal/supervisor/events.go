package supervisor

import (
	"context"
	"net"
	"net/netip"

	"github.com/azptend/azptend/internal/agentdir"
)

// listenerEvents are the ways by which a listener tells what it does, besides its end. All
// of them are the agent package's, and are real sockets and files: apart from
// them a life is calls, processes and the clock.
type listenerEvents interface {
	// openPort opens what the listener's notifications come to.
	openPort() (Port, error)
	// waitForCounts waits until the listener that writes to perf has counted enough,
	// and returns what it has counted.
	waitForCounts(ctx context.Context, perf *agentdir.PerfFile, enough func(agentdir.PerfCounts) bool) (agentdir.PerfCounts, error)
	// counts is what the listener that writes to perf has counted so far.
	counts(perf *agentdir.PerfFile) agentdir.PerfCounts
	// logSizes are the listeners' logs as they are now.
	logSizes() agentdir.LogSizes
	// followProblems tells what the logs that are newer than before say of the listener's
	// trouble with its server, until ctx ends.
	followProblems(ctx context.Context, before agentdir.LogSizes, tell func(agentdir.Problem))
	// readShutdown is what the logs that are newer than before say of the listener's end.
	readShutdown(before agentdir.LogSizes) (agentdir.ShutdownRecord, error)
	// waitForUpdate waits until an update has ended that before does not know.
	waitForUpdate(ctx context.Context, before agentdir.UpdateMarkers) error
}

// Port is where one listener connects, once. *agent.NotificationPort is one.
type Port interface {
	Address() string
	Accept(ctx context.Context, last <-chan struct{}, whose func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error)
	Close() error
}

// dirEvents are those of a listener that lives in this folder.
type dirEvents struct {
	dir    agentdir.Dir
	asUser func(func() error) error // with the rights of the jobs' user
}

func (dirEvents) openPort() (Port, error) {
	p, err := agentdir.OpenNotificationPort()
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (dirEvents) waitForCounts(ctx context.Context, perf *agentdir.PerfFile, enough func(agentdir.PerfCounts) bool) (agentdir.PerfCounts, error) {
	return perf.Wait(ctx, enough)
}

func (dirEvents) counts(perf *agentdir.PerfFile) agentdir.PerfCounts { return perf.Counts() }

func (w dirEvents) logSizes() agentdir.LogSizes { return w.dir.LogSizes() }

func (w dirEvents) followProblems(ctx context.Context, before agentdir.LogSizes, tell func(agentdir.Problem)) {
	w.dir.FollowProblems(ctx, before, w.asUser, tell)
}

func (w dirEvents) readShutdown(before agentdir.LogSizes) (agentdir.ShutdownRecord, error) {
	return w.dir.ReadShutdown(before)
}

func (w dirEvents) waitForUpdate(ctx context.Context, before agentdir.UpdateMarkers) error {
	return w.dir.WaitForUpdate(ctx, before)
}
