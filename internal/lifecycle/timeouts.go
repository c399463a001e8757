package lifecycle

import (
	"math/rand/v2"
	"time"
)

// Timeouts, intervals and limits on retries. Budget has the times that depend on the
// grace period.
const (
	// callTimeout is the timeout of one call. Azure DevOps delays a throttled request
	// by up to 30 s and still answers it (azure-devops-rest.md 3).
	callTimeout = 45 * time.Second

	minRetryPause = time.Second
	maxRetryPause = 30 * time.Second
	shortPause    = 250 * time.Millisecond
	// minCallTime is enough for a token and a request if nothing is down.
	minCallTime = time.Second

	// bootTimeout is how long azptend waits for a server or an identity endpoint that
	// is not reachable when a container starts. After that the platform restarts
	// azptend.
	bootTimeout = 2 * time.Minute
	// reregisterTimeout is the same for an agent that has to register again. It is
	// longer, because this agent has worked before.
	reregisterTimeout = 10 * time.Minute
	// throttleTimeout is the same for a server that answers and asks for a pause.
	// maxThrottleWait is the window over which it counts requests
	// (azure-devops-rest.md 3). A longer pause is not throttling, and extends nothing.
	throttleTimeout = 15 * time.Minute
	maxThrottleWait = 5 * time.Minute
	// maxRetryAfter bounds the pause that a server can ask for.
	maxRetryAfter = time.Hour
	// sessionTimeout is how long azptend restarts a listener that meets the session of
	// an earlier one. The server keeps that session for five minutes, in which a new
	// listener gives up once (agent-protocol.md 5.1, 5.5).
	sessionTimeout = 10 * time.Minute
	// removeTimeout is longer than the lock of a job that died with its listener: that
	// expires after 5 to 10 minutes (agent-protocol.md 5.1).
	removeTimeout = 11 * time.Minute

	// latePostWindow is how long a server may still act on a POST after its connection
	// ended. A look-up that shows no agent proves nothing before that.
	latePostWindow = 5 * time.Second

	// inspectInterval is the pause between inspections if the listener reports idle, but
	// the server or the process table shows a job: the worker may still be reporting its
	// result.
	inspectInterval = 2 * time.Second

	// idleConfirmTime is how long the server and the process table must both show no
	// job if the socket was lost. A listener may sleep 15 s between two polls, with a
	// job already assigned to it (agent-protocol.md 7.3).
	idleConfirmTime = 20 * time.Second

	// conflictInterval and conflictBusyInterval are the pauses between look-ups of
	// another agent with our name: while it is online, and while it runs a job.
	conflictInterval     = 10 * time.Second
	conflictBusyInterval = 15 * time.Second

	// recheckInterval is between two inspections of an agent that the server did
	// not show. After maxNotShown of them azptend drains.
	recheckInterval = 10 * time.Second
	maxNotShown     = 3
	// externalReadyTimeout is how long the listener of an agent that another azptend
	// registered may take to become ready. Then azptend exits, and the platform can
	// start it again.
	externalReadyTimeout = 15 * time.Minute

	// secondInterruptAfter is how long after a SIGINT another one counts: one Ctrl-C may
	// arrive twice, from the terminal and from a parent process.
	secondInterruptAfter = time.Second

	// maxScanTime is the timeout of a scan of the process table before a job is cut,
	// and lastScanTimeout at the exit deadline. cutScanInterval is the pause between
	// scans while azptend waits for a job without a running step, scanInterval while
	// the notification socket is lost.
	maxScanTime     = time.Second
	lastScanTimeout = 250 * time.Millisecond
	cutScanInterval = 500 * time.Millisecond
	scanInterval    = 10 * time.Second

	// stopScanTimeout is the timeout of a scan before an idle listener is stopped. There
	// are at most maxStopScans of them, in case azptend was frozen.
	stopScanTimeout = 6 * time.Second
	maxStopScans    = 5

	// killTimeout is how long azptend waits for a killed process. One that hangs in
	// the kernel does not exit.
	killTimeout = time.Second

	// The count of restarts starts again after a listener was ready for
	// restartResetTime.
	maxRestarts      = 5
	restartResetTime = 10 * time.Minute

	maxReregistrations = 5
	reregisterWindow   = time.Hour
	reregisterPause    = 5 * time.Second
)

// backoff is the pause after a number of failures.
func backoff(failures int) time.Duration { return min(minRetryPause<<min(failures, 8), maxRetryPause) }

// jitter is a number from 0 up to 1. It differs between agents and between tries, and
// is the same each time for the same agent and try.
func (p Policy) jitter(try int) float64 {
	if p.JitterSeed == 0 {
		return 0
	}
	return rand.New(rand.NewPCG(p.JitterSeed, uint64(try))).Float64()
}
