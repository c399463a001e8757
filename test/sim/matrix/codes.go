package main

import (
	"strings"
)

// The codes of docs/exit-codes.md.
const (
	onPurpose   = 0
	unreachable = 69
	tryAgain    = 75
	denied      = 77
	byPerson    = 130
)

// codesFor returns the exit codes that docs/exit-codes.md allows for what happened. If two
// things happened at once and azptend can notice either first, both codes are right.
func codesFor(c cell, f facts) []int {
	switch {
	case c.phase.name == "job assigned" && !f.insisted.IsZero() && f.jobEnded.After(f.insisted):
		// No worker had started, so azptend knew of the job from the server only. The job may
		// end before the listener gets the order to cancel it.
		return []int{byPerson, onPurpose}
	case f.jobCut() && !f.insisted.IsZero() && f.jobEnded.After(f.insisted):
		return []int{byPerson}
	case c.event.kind == ends && c.phase.listener && c.event.name != workerKilled:
		return codesOfListenersEnd(c, f)
	case c.event.kind == toAll && f.jobCut() && c.event.endsTheJob():
		codes := []int{tryAgain}
		if c.event.code != 0 { // the signal killed the listener during its job
			codes = append(codes, c.event.code)
		}
		if c.phase.name == "job assigned" { // azptend did not know of the job yet
			codes = append(codes, onPurpose)
		}
		return codes
	case f.jobCut() && c.event.name != workerKilled:
		return []int{tryAgain}
	case c.event.kind == kill:
		return append(codesOfStart(c), onPurpose)
	}
	return []int{onPurpose}
}

// jobCut reports whether there was a job that did not succeed.
func (f facts) jobCut() bool { return f.job.RequestID != 0 && f.job.Result != "succeeded" }

// codesOfListenersEnd is codesFor for a listener that exits unasked. After code 1 azptend
// gives up at once; after the others it starts the listener or registers again. If azptend is
// draining already and the job is lost with the listener, azptend exits with the listener's
// code, or with 75 for code 0.
func codesOfListenersEnd(c cell, f facts) []int {
	var codes []int
	switch {
	case c.phase.drained && c.phase.job != noJob && c.event.code == 0:
		codes = []int{tryAgain}
	case c.phase.drained && c.phase.job != noJob:
		codes = []int{c.event.code}
	case c.phase.drained:
		codes = []int{onPurpose}
	case c.event.code == 1:
		codes = []int{1}
		if !f.asked.IsZero() { // before the server answered whether the agent exists
			codes = append(codes, onPurpose)
		}
		if strings.HasPrefix(c.outcome.name, "404") { // azptend takes it that somebody deleted the agent, and registers again
			codes = append(codes, onPurpose)
		}
	default:
		codes = []int{onPurpose}
	}
	if c.phase.job != noJob { // the server shows it as running until its lock expires
		codes = append(codes, tryAgain)
	}
	return codes
}

// codesOfStart returns the exit codes of a start whose first call has the cell's outcome.
func codesOfStart(c cell) []int {
	switch {
	case c.outcome.fault == nil:
		return nil
	case c.outcome.name == "401", c.outcome.name == "403", strings.HasPrefix(c.outcome.name, "203"):
		return []int{denied, unreachable}
	case c.outcome.name == "404", c.outcome.name == "409":
		return []int{unreachable, tryAgain}
	}
	return []int{unreachable}
}
