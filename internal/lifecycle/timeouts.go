package lifecycle

import (
	"math/rand/v2"
	"time"
)

// How long things are waited for, and how often they are tried. Times that only
// the grace period bounds are in Budget.
const (
	// callTimeout is for one call. Azure DevOps delays a throttled request by up
	// to 30 s and still answers it (azure-devops-rest.md 3).
	callTimeout = 45 * time.Second

	minRetryPause = time.Second
	maxRetryPause = 30 * time.Second
	shortPause    = 250 * time.Millisecond
	// minCallTime is a token and a request at their slowest, without an outage.
	minCallTime = time.Second

	// bootTimeout is for a server or an identity endpoint that is not there yet
	// when a container starts. After that the platform restarts azptend.
	bootTimeout = 2 * time.Minute
	// reregisterTimeout is for a server that is away when an agent has to register
	// again. It is longer, because this agent has worked before.
	reregisterTimeout = 10 * time.Minute
	// throttleTimeout is for a server that answers and asks for a pause: it is not
	// away. maxThrottleWait is the window over which it counts requests
	// (azure-devops-rest.md 3). A longer wish is no throttling, and is not
	// waited for.
	throttleTimeout = 15 * time.Minute
	maxThrottleWait = 5 * time.Minute
	// maxRetryAfter bounds the pause that a server can ask for.
	maxRetryAfter = time.Hour
	// sessionTimeout is for the session of a listener that was killed. The server
	// keeps it for five minutes, in which a new listener gives up once
	// (agent-protocol.md 5.1, 5.5).
	sessionTimeout = 10 * time.Minute
	// removeTimeout lets the lock of a job expire that died with its listener: 5
	// to 10 minutes (agent-protocol.md 5.1).
	removeTimeout = 11 * time.Minute

	// latePostWindow is how long after its connection ended a server may still act
	// on a POST. Only then does "there is no such agent" mean that there will be
	// none.
	latePostWindow = 5 * time.Second

	// inspectInterval is how soon an agent is inspected again that the listener
	// calls idle, but the server or the process table does not: the worker's last
	// report may be on its way.
	inspectInterval = 2 * time.Second

	// idleConfirmTime is how long the server and the process table must both call
	// an agent idle whose socket was lost. A listener may sleep 15 s between two
	// polls, with a job already assigned to it (agent-protocol.md 7.3).
	idleConfirmTime = 20 * time.Second

	// conflictInterval and conflictBusyInterval are how soon an agent with our
	// name is looked up again: while it is online, and while it runs a job.
	conflictInterval     = 10 * time.Second
	conflictBusyInterval = 15 * time.Second

	// recheckInterval is between two inspections of an agent that the server did
	// not show. After maxNotShown of them azptend drains.
	recheckInterval = 10 * time.Second
	maxNotShown     = 3
	// externalReadyTimeout is how long an agent that another azptend registered
	// may take to become ready. After that the platform can start it again.
	externalReadyTimeout = 15 * time.Minute

	// secondInterruptAfter is when a SIGINT counts as another one: one Ctrl-C may
	// arrive twice, from the terminal and from a parent process.
	secondInterruptAfter = time.Second

	// maxScanTime is how long a scan of the process table is waited for before a
	// job is cut, and lastScanTimeout at the exit deadline. cutScanInterval is
	// between scans while a job without a running step is waited for, scanInterval
	// while the notification socket is lost.
	maxScanTime     = time.Second
	lastScanTimeout = 250 * time.Millisecond
	cutScanInterval = 500 * time.Millisecond
	scanInterval    = 10 * time.Second

	// stopScanTimeout is how long a scan is waited for before a listener is stopped that
	// looks idle. The process table is read again if that was too long ago by then, and
	// at most maxStopScans times.
	stopScanTimeout = 6 * time.Second
	maxStopScans    = 5

	// killTimeout is how long a killed process is waited for. One that hangs in
	// the kernel does not die.
	killTimeout = time.Second

	// A listener that stays ready for restartResetTime starts counting its
	// restarts anew.
	maxRestarts      = 5
	restartResetTime = 10 * time.Minute

	maxReregistrations = 5
	reregisterWindow   = time.Hour
	reregisterPause    = 5 * time.Second
)

// backoff is the pause after a number of failures.
func backoff(failures int) time.Duration { return min(minRetryPause<<min(failures, 8), maxRetryPause) }

// jitter is a number from 0 up to 1. It differs between agents and between tries,
// and is always the same for one of them.
func (p Policy) jitter(try int) float64 {
	if p.JitterSeed == 0 {
		return 0
	}
	return rand.New(rand.NewPCG(p.JitterSeed, uint64(try))).Float64()
}
