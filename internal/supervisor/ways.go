package supervisor

import (
	"context"
	"net"
	"net/netip"

	"github.com/azptend/azptend/internal/agent"
)

// ways are the ways by which a listener tells what it does, besides its end. All
// of them are the agent package's, and are real sockets and files: apart from
// them a life is calls, processes and the clock.
type ways interface {
	// openPort opens what the listener's notifications come to.
	openPort() (Port, error)
	// awaitCounts waits until the listener that writes to perf has counted enough,
	// and returns what it has counted.
	awaitCounts(ctx context.Context, perf *agent.Perf, enough func(agent.PerfCounts) bool) (agent.PerfCounts, error)
	// counts is what the listener that writes to perf has counted so far.
	counts(perf *agent.Perf) agent.PerfCounts
	// listenerLogs are the listeners' logs as they are now.
	listenerLogs() agent.Logs
	// troubles tells what the logs that are newer than before say of the listener's
	// trouble with its server, until ctx ends.
	troubles(ctx context.Context, before agent.Logs, tell func(agent.Trouble))
	// shutdown is what the logs that are newer than before say of the listener's end.
	shutdown(before agent.Logs) (agent.Shutdown, error)
	// awaitUpdate waits until an update has ended that before does not know.
	awaitUpdate(ctx context.Context, before agent.UpdateMarkers) error
}

// Port is where one listener connects, once. *agent.NotificationPort is one.
type Port interface {
	Address() string
	Accept(ctx context.Context, last <-chan struct{}, whose func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error)
	Close() error
}

// folderWays are those of a listener that lives in this folder.
type folderWays struct {
	folder agent.Folder
	as     func(func() error) error // with the rights of the jobs' user
	port   func() (Port, error)
}

func (w folderWays) openPort() (Port, error) { return w.port() }

func openNotificationPort() (Port, error) {
	p, err := agent.OpenNotificationPort()
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (folderWays) awaitCounts(ctx context.Context, perf *agent.Perf, enough func(agent.PerfCounts) bool) (agent.PerfCounts, error) {
	return perf.Await(ctx, enough)
}

func (folderWays) counts(perf *agent.Perf) agent.PerfCounts { return perf.Counts() }

func (w folderWays) listenerLogs() agent.Logs { return w.folder.ListenerLogs() }

func (w folderWays) troubles(ctx context.Context, before agent.Logs, tell func(agent.Trouble)) {
	w.folder.Troubles(ctx, before, w.as, tell)
}

func (w folderWays) shutdown(before agent.Logs) (agent.Shutdown, error) {
	return w.folder.Shutdown(before)
}

func (w folderWays) awaitUpdate(ctx context.Context, before agent.UpdateMarkers) error {
	return w.folder.AwaitUpdate(ctx, before)
}
