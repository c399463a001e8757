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

// codesFor is what docs/exit-codes.md says of what happened. Where two things
// happened at once, of which azptend may hear either first, both are right.
func codesFor(c cell, f facts) []int {
	switch {
	case c.phase.name == "job assigned" && !f.insisted.IsZero() && f.jobEnded.After(f.insisted):
		// Only the server could have told of it, and it may be over before the
		// listener hears that it is to cancel it.
		return []int{byPerson, onPurpose}
	case f.jobCut() && !f.insisted.IsZero() && f.jobEnded.After(f.insisted):
		return []int{byPerson}
	case c.event.kind == ends && c.phase.listener && c.event.name != workerKilled:
		return codesOfListenersEnd(c, f)
	case c.event.kind == crowd && f.jobCut() && c.event.endsTheJob():
		if c.event.code != 0 { // it died of the signal, in the middle of its job
			return []int{c.event.code, onPurpose}
		}
		if c.phase.name == "job assigned" { // of whose beginning nobody had told azptend
			return []int{onPurpose, tryAgain}
		}
		return []int{tryAgain}
	case f.jobCut() && c.event.name != workerKilled:
		return []int{tryAgain}
	case c.event.kind == kill:
		return append(codesOfStart(c), onPurpose)
	}
	return []int{onPurpose}
}

// jobCut says that there was a job, and that it did not end by itself.
func (f facts) jobCut() bool { return f.job.RequestID != 0 && f.job.Result != "succeeded" }

// codesOfListenersEnd is for a listener that ends unasked. Code 1 is given up at
// once; after the others there is another listener, or another agent. Asked to
// end already, azptend passes the code of one on that takes its job along.
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
		if !f.asked.IsZero() { // before the server had told whether the agent is there
			codes = append(codes, onPurpose)
		}
		if strings.HasPrefix(c.outcome.name, "404") { // "somebody deleted the agent": it registers anew
			codes = append(codes, onPurpose)
		}
	default:
		codes = []int{onPurpose}
	}
	if c.phase.job != noJob { // the server calls it running until its lock lapses
		codes = append(codes, tryAgain)
	}
	return codes
}

// codesOfStart is what a start may end with whose first call has this outcome.
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
