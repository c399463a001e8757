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

	firstPause    = time.Second
	longestPause  = 30 * time.Second
	shortestPause = 250 * time.Millisecond
	// shortestTry is a token and a request, at their slowest that is not an outage.
	shortestTry = time.Second

	// bootPatience is for a server or an identity endpoint that is not there yet
	// when a container starts; the platform's own restart does the rest.
	bootPatience = 2 * time.Minute
	// rejoinPatience is for a server that is away when an agent has to register
	// anew: longer, for this agent has worked before.
	rejoinPatience = 10 * time.Minute
	// throttlePatience is for a server that answers, and asks for a pause: it is
	// not away. longestWish is the window over which it counts (azure-devops-rest.md
	// 3); what asks for more is no throttling, and is not waited for.
	throttlePatience = 15 * time.Minute
	longestWish      = 5 * time.Minute
	// mostHeeded bounds the pause that a server can ask for.
	mostHeeded = time.Hour
	// sessionPatience is for the session of a listener that was killed: the server
	// keeps it for five minutes, in which a new listener gives up once
	// (agent-protocol.md 5.1, 5.5).
	sessionPatience = 10 * time.Minute
	// removePatience lets the lock of a job that died with its listener lapse: 5
	// to 10 minutes (agent-protocol.md 5.1).
	removePatience = 11 * time.Minute

	// lateAct is how long after its connection ended a server may still act on a
	// POST: only then does "there is no such agent" mean that there will be none.
	lateAct = 5 * time.Second

	// recheck is how soon an agent is looked at again of which the listener says
	// that it is idle and the server or the process table that it is not: the
	// worker's last report may be on its way.
	recheck = 2 * time.Second

	// settle is how long the server and the process table must both have said
	// "idle" of an agent whose socket was lost: a listener may sleep 15 s between
	// two polls, with a job already assigned to it (agent-protocol.md 7.3).
	settle = 20 * time.Second

	// twinWatch and twinBusy are how soon an agent that holds our name is looked at
	// again: while it is online, and while it runs a job.
	twinWatch = 10 * time.Second
	twinBusy  = 15 * time.Second

	// doubtPause is between two looks at an agent that a look did not show. After
	// enoughDoubts looks azptend drains.
	doubtPause   = 10 * time.Second
	enoughDoubts = 3
	// lentPatience is how long an agent that another azptend has registered may take
	// to become ready. After that the platform can start it again.
	lentPatience = 15 * time.Minute

	// insistAfter is how long after the last word a SIGINT counts as another: one
	// Ctrl-C may reach us twice, from the terminal and from a parent.
	insistAfter = time.Second

	// lookTimeout is how long a look at the process table is waited for before a job
	// is cut, and lastLook at the last call. While a job of which nothing runs is
	// waited for, azptend looks at the process table every lookSoon; while the
	// notification socket is lost, every lookEvery.
	lookTimeout = time.Second
	lastLook    = 250 * time.Millisecond
	lookSoon    = 500 * time.Millisecond
	lookEvery   = 10 * time.Second

	// killPatience is how long a killed process is waited for; one that hangs in
	// the kernel does not die.
	killPatience = time.Second

	// A listener that stays ready for steady has its earlier restarts forgiven.
	maxRestarts = 5
	steady      = 10 * time.Minute

	maxRejoins   = 5
	rejoinWindow = time.Hour
	rejoinPause  = 5 * time.Second
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
	case Unfit:
		return exitUnfit
	case Broken:
		return exitFault
	case Taken, Occupied:
		return exitTryAgain
	default:
		return exitUnreachable
	}
}

// chance is a number from 0 up to 1 that differs from life to life and from try
// to try, and is the same whenever it is asked for.
func (p Policy) chance(try int) float64 {
	if p.Seed == 0 {
		return 0
	}
	return rand.New(rand.NewPCG(p.Seed, uint64(try))).Float64()
}
