// Package exitcode has the table of azptend's exit codes. It maps the outcome of a run, or
// the error of a command, to a number. Other packages contain no exit codes, except commands
// that answer a question by their exit code, such as healthcheck.
//
// The numbers are those of sysexits.h if it has a suitable one. The systemd unit and
// platforms rely on them: a restart helps after 69, 70 and 75, and does not after 64, 77 and
// 78.
package exitcode

import (
	"fmt"
	"slices"

	"github.com/azptend/azptend/internal/lifecycle"
)

// The codes. The listener's own exit code, and 128+n if signal n killed it, are passed on
// too.
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

// Row is a row of the table of the exit codes of `azptend run`.
type Row struct {
	Code string // "64"; "1, 2" for several with the same meaning; "128+n" for signals
	When string // a sentence without a period, in Markdown
}

// Table has the exit codes of `azptend run`. docs/exit-codes.md is written from it
// (TestExitCodePage), and each row has a script that shows it (test/script/coverage_test.go).
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

// Severity orders exit codes, for a process with several agents. An internal error is the
// worst. Then come errors that a person must fix, errors that may be temporary, and the ends
// that were asked for.
func Severity(code int) int {
	const listeners = -1 // the listener's own codes, and its signals
	order := []int{OK, Interrupted, TryAgain, Unavailable, listeners, Denied, DirUnusable, Usage, Internal}
	if i := slices.Index(order, code); i >= 0 {
		return i
	}
	return slices.Index(order, listeners)
}
