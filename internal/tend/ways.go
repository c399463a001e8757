package tend

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
	// awaitSession waits until the listener that logs to perf has its session.
	awaitSession(ctx context.Context, perf string) error
	// awaitUpdateRequest waits until the listener that logs to perf has been asked
	// to update itself more often than before, and says how often.
	awaitUpdateRequest(ctx context.Context, perf string, before int) (int, error)
	// jobsReceived is how many jobs the listener that logs to perf has been given.
	jobsReceived(perf string) (int, error)
	// listenerLogs are the listeners' logs as they are now.
	listenerLogs() agent.Logs
	// awaitConflict waits until a listener has met, by a log that is newer than
	// before, another's session.
	awaitConflict(ctx context.Context, before agent.Logs) error
	// shutdown is what the logs that are newer than before say of the listener's end.
	shutdown(before agent.Logs) (agent.Shutdown, error)
	// awaitUpdate waits until an update has ended that before does not know.
	awaitUpdate(ctx context.Context, before agent.UpdateMarkers) error
}

// Port is where one listener connects, once. *agent.NotificationPort is one.
type Port interface {
	Address() string
	Accept(ctx context.Context, isListener func(ours, theirs netip.AddrPort) bool) (net.Conn, error)
	Close() error
}

// folderWays are those of a listener that lives in this folder.
type folderWays struct {
	folder agent.Folder
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

func (folderWays) awaitSession(ctx context.Context, perf string) error {
	return agent.AwaitSession(ctx, perf)
}

func (folderWays) awaitUpdateRequest(ctx context.Context, perf string, before int) (int, error) {
	return agent.AwaitUpdateRequest(ctx, perf, before)
}

func (folderWays) jobsReceived(perf string) (int, error) { return agent.JobsReceived(perf) }

func (w folderWays) listenerLogs() agent.Logs { return w.folder.ListenerLogs() }

func (w folderWays) awaitConflict(ctx context.Context, before agent.Logs) error {
	return w.folder.AwaitConflict(ctx, before)
}

func (w folderWays) shutdown(before agent.Logs) (agent.Shutdown, error) {
	return w.folder.Shutdown(before)
}

func (w folderWays) awaitUpdate(ctx context.Context, before agent.UpdateMarkers) error {
	return w.folder.AwaitUpdate(ctx, before)
}
