package lifecycle

import (
	"math/rand/v2"
	"time"
)

// How long things are waited for, and how often they are tried. Times that only
// a platform's deadline bounds are not here: see Budget.
const (
	// callTimeout is for one call. Azure DevOps delays a throttled request by up
	// to 30 s and still answers it (azure-devops-rest.md 3).
	callTimeout = 45 * time.Second

	minRetryPause = time.Second
	maxRetryPause = 30 * time.Second
	shortPause    = 250 * time.Millisecond
	// minCallTime is a token and a request, at their slowest that is not an outage.
	minCallTime = time.Second

	// bootTimeout is for a server or an identity endpoint that is not there yet
	// when a container starts; the platform's own restart does the rest.
	bootTimeout = 2 * time.Minute
	// reregisterTimeout is for a server that is away when an agent has to register
	// anew: longer, for this agent has worked before.
	reregisterTimeout = 10 * time.Minute
	// throttleTimeout is for a server that answers, and asks for a pause: it is
	// not away. longestWish is the window over which it counts (azure-devops-rest.md
	// 3); what asks for more is no throttling, and is not waited for.
	throttleTimeout = 15 * time.Minute
	maxThrottleWait = 5 * time.Minute
	// maxRetryAfter bounds the pause that a server can ask for.
	maxRetryAfter = time.Hour
	// sessionTimeout is for the session of a listener that was killed: the server
	// keeps it for five minutes, in which a new listener gives up once
	// (agent-protocol.md 5.1, 5.5).
	sessionTimeout = 10 * time.Minute
	// removeTimeout lets the lock of a job that died with its listener lapse: 5
	// to 10 minutes (agent-protocol.md 5.1).
	removeTimeout = 11 * time.Minute

	// latePostWindow is how long after its connection ended a server may still act on a
	// POST: only then does "there is no such agent" mean that there will be none.
	latePostWindow = 5 * time.Second

	// inspectInterval is how soon an agent is looked at again of which the listener says
	// that it is idle and the server or the process table that it is not: the
	// worker's last report may be on its way.
	inspectInterval = 2 * time.Second

	// idleConfirmTime is how long the server and the process table must both have said
	// "idle" of an agent whose socket was lost: a listener may sleep 15 s between
	// two polls, with a job already assigned to it (agent-protocol.md 7.3).
	idleConfirmTime = 20 * time.Second

	// conflictInterval and twinBusy are how soon an agent that holds our name is looked at
	// again: while it is online, and while it runs a job.
	conflictInterval     = 10 * time.Second
	conflictBusyInterval = 15 * time.Second

	// recheckInterval is between two looks at an agent that a look did not show. After
	// enoughDoubts looks azptend drains.
	recheckInterval = 10 * time.Second
	maxNotShown     = 3
	// externalReadyTimeout is how long an agent that another azptend has registered may take
	// to become ready. After that the platform can start it again.
	externalReadyTimeout = 15 * time.Minute

	// secondInterruptAfter is how long after the last word a SIGINT counts as another: one
	// Ctrl-C may reach us twice, from the terminal and from a parent.
	secondInterruptAfter = time.Second

	// scanTimeoutMax is how long a look at the process table is waited for before a job
	// is cut, and lastLook at the last call. While a job of which nothing runs is
	// waited for, azptend looks at the process table every lookSoon; while the
	// notification socket is lost, every lookEvery.
	scanTimeoutMax  = time.Second
	lastScanTimeout = 250 * time.Millisecond
	cutScanInterval = 500 * time.Millisecond
	scanInterval    = 10 * time.Second

	// killTimeout is how long a killed process is waited for; one that hangs in
	// the kernel does not die.
	killTimeout = time.Second

	// A listener that stays ready for steady has its earlier restarts forgiven.
	maxRestarts      = 5
	restartResetTime = 10 * time.Minute

	maxReregistrations = 5
	reregisterWindow   = time.Hour
	reregisterPause    = 5 * time.Second
)

// The exit codes that Step itself chooses (README.md, "Exit codes").
const (
	exitUnreachable = 69
	exitFault       = 70
	exitTryAgain    = 75
	exitDenied      = 77
	exitUnfit       = 78
	exitPerson      = 130
)

// codeFor is the exit code for a call that will not succeed.
func codeFor(o Outcome) int {
	switch o {
	case OK:
		return 0
	case Denied:
		return exitDenied
	case DirUnusable:
		return exitUnfit
	case InternalError:
		return exitFault
	case NameTaken, DirInUse:
		return exitTryAgain
	default:
		return exitUnreachable
	}
}

// jitter is a number from 0 up to 1 that differs from life to life and from try
// to try, and is the same whenever it is asked for.
func (p Policy) jitter(try int) float64 {
	if p.JitterSeed == 0 {
		return 0
	}
	return rand.New(rand.NewPCG(p.JitterSeed, uint64(try))).Float64()
}
