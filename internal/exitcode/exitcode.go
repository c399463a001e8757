// Package exitcode is the one table of azptend's exit codes. It maps how a run
// ended, and why a command failed, to a number. No other package knows a number,
// except for commands that answer a question by their exit code, as healthcheck.
//
// The numbers are those of sysexits.h, where it has one. systemd's unit and
// platforms rely on them: a restart helps after 69, 70 and 75, and does not after
// 64, 77 and 78.
package exitcode

import (
	"fmt"
	"slices"

	"github.com/azptend/azptend/internal/lifecycle"
)

// The codes. A listener's own code and its death by a signal are passed on
// besides.
const (
	OK          = 0
	Usage       = 64
	Unavailable = 69
	Internal    = 70
	TryAgain    = 75
	Denied      = 77
	DirUnusable = 78
	Interrupted = 130
)

// Row is a row of the table of what `azptend run` exits with.
type Row struct {
	Code string // "64"; "1, 2" for several that mean one thing; "128+n" for a family
	When string // a sentence without a period, in the README's Markdown
}

// Table is what `azptend run` exits with, for people who write what runs azptend.
// The README has it word for word, and each row has a script that shows it
// (test/script/coverage_test.go).
func Table() []Row {
	return []Row{
		{fmt.Sprint(OK), "exited as intended: one job served, drained, a limit reached, or the placeholder exists. The agent is removed, or reported if it could not be (with `--strict-remove`: 75)"},
		{"1, 2", "the listener's own exit code, after azptend gave up on it"},
		{fmt.Sprint(Usage), "wrong settings or command line"},
		{fmt.Sprint(Unavailable), "Azure DevOps or the identity endpoint is unreachable, or refused the request for another reason"},
		{fmt.Sprint(Internal), "internal error, or the machine is out of resources"},
		{fmt.Sprint(TryAgain), "try again. Another agent has the name, or another container uses the agent directory. Or a job was cut: the grace period was too short, `AZP_ON_TERM` is cancel, or another process stopped the listener. Also if a job may have been cut and its result is unknown"},
		{fmt.Sprint(Denied), "permission denied: no licence, no role, a refused token, or a pool that the identity cannot see"},
		{fmt.Sprint(DirUnusable), "the agent directory is unusable: no listener, wrong architecture, not writable, or another tool's agent in it"},
		{"128+n", "the listener was killed by signal n and not restarted; 130: the job was cancelled by a second SIGINT"},
	}
}

// OfRun is the exit code for the end of an agent's run.
func OfRun(e lifecycle.End) int {
	switch e.Outcome {
	case lifecycle.OK:
		return OK
	case lifecycle.JobCut, lifecycle.NameTaken, lifecycle.DirInUse, lifecycle.NotRemoved:
		return TryAgain
	case lifecycle.JobCancelled:
		return Interrupted
	case lifecycle.Denied:
		return Denied
	case lifecycle.DirUnusable:
		return DirUnusable
	case lifecycle.InternalError:
		return Internal
	case lifecycle.ListenerFailed:
		if e.Exit.Signal != 0 {
			return 128 + e.Exit.Signal
		}
		return e.Exit.Code
	}
	return Unavailable
}

// Severity orders exit codes, for a process with several agents: a fault is worse
// than what a person must fix, that is worse than what may pass by itself, and that
// is worse than what was asked for.
func Severity(code int) int {
	const listeners = -1 // its own codes, and its deaths
	order := []int{OK, Interrupted, TryAgain, Unavailable, listeners, Denied, DirUnusable, Usage, Internal}
	if i := slices.Index(order, code); i >= 0 {
		return i
	}
	return slices.Index(order, listeners)
}
