package supervisor

import (
	"context"
	"net"
	"net/netip"

	"github.com/azptend/azptend/internal/agentdir"
)

// ways are the ways by which a listener tells what it does, besides its end. All
// of them are the agent package's, and are real sockets and files: apart from
// them a life is calls, processes and the clock.
type ways interface {
	// openPort opens what the listener's notifications come to.
	openPort() (Port, error)
	// awaitCounts waits until the listener that writes to perf has counted enough,
	// and returns what it has counted.
	awaitCounts(ctx context.Context, perf *agentdir.Perf, enough func(agentdir.PerfCounts) bool) (agentdir.PerfCounts, error)
	// counts is what the listener that writes to perf has counted so far.
	counts(perf *agentdir.Perf) agentdir.PerfCounts
	// listenerLogs are the listeners' logs as they are now.
	listenerLogs() agentdir.Logs
	// troubles tells what the logs that are newer than before say of the listener's
	// trouble with its server, until ctx ends.
	troubles(ctx context.Context, before agentdir.Logs, tell func(agentdir.Trouble))
	// shutdown is what the logs that are newer than before say of the listener's end.
	shutdown(before agentdir.Logs) (agentdir.Shutdown, error)
	// awaitUpdate waits until an update has ended that before does not know.
	awaitUpdate(ctx context.Context, before agentdir.UpdateMarkers) error
}

// Port is where one listener connects, once. *agent.NotificationPort is one.
type Port interface {
	Address() string
	Accept(ctx context.Context, last <-chan struct{}, whose func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error)
	Close() error
}

// folderWays are those of a listener that lives in this folder.
type folderWays struct {
	folder agentdir.Folder
	as     func(func() error) error // with the rights of the jobs' user
}

func (folderWays) openPort() (Port, error) {
	p, err := agentdir.OpenNotificationPort()
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (folderWays) awaitCounts(ctx context.Context, perf *agentdir.Perf, enough func(agentdir.PerfCounts) bool) (agentdir.PerfCounts, error) {
	return perf.Await(ctx, enough)
}

func (folderWays) counts(perf *agentdir.Perf) agentdir.PerfCounts { return perf.Counts() }

func (w folderWays) listenerLogs() agentdir.Logs { return w.folder.ListenerLogs() }

func (w folderWays) troubles(ctx context.Context, before agentdir.Logs, tell func(agentdir.Trouble)) {
	w.folder.Troubles(ctx, before, w.as, tell)
}

func (w folderWays) shutdown(before agentdir.Logs) (agentdir.Shutdown, error) {
	return w.folder.Shutdown(before)
}

func (w folderWays) awaitUpdate(ctx context.Context, before agentdir.UpdateMarkers) error {
	return w.folder.AwaitUpdate(ctx, before)
}
