package main

import "fmt"

// call is a kind of call to Azure DevOps, as the journal's records are grouped.
type call string

const (
	getPools     call = "GET pools"
	postAgent    call = "POST agents"
	getAgent     call = "GET agent"
	patchAgent   call = "PATCH agent"
	deleteAgent  call = "DELETE agent"
	getRequests  call = "GET jobrequests"
	getAgents    call = "GET agents"
	postToken    call = "POST token"
	postSession  call = "POST session"
	endSession   call = "DELETE session"
	getMessages  call = "GET messages"
	endMessage   call = "DELETE message"
	renewJob     call = "PATCH jobrequest"
	reportRecord call = "PATCH timeline"
	reportFeed   call = "POST feed"
	reportLog    call = "POST log"
	reportEnd    call = "POST event"
)

// runCalls are the calls that azptend makes in one run, by when it makes them, in order.
// measureRuns compares them with a real azptend's.
type runCalls struct {
	Start []call // before the listener is started
	Ready []call // when it listens
	Busy  []call // when its job starts
	End   []call // when it exits
}

// The three kinds of runs (docs/how-it-works.md, "The calls of a run").
var (
	onceRun = runCalls{
		Start: []call{getPools, postAgent}, Ready: []call{getAgent},
		Busy: []call{patchAgent}, End: []call{deleteAgent},
	}
	// idleRun gets no job and exits after AZP_IDLE_TIMEOUT.
	idleRun = runCalls{
		Start: []call{getPools, postAgent}, Ready: []call{getAgent},
		End: []call{patchAgent, getAgent, deleteAgent},
	}
	// longLivedRun takes any number of jobs. They cost azptend no calls.
	longLivedRun = idleRun
)

// presenceCheck is azptend's check that its agent is still in its pool. It is not part of
// runCalls: a process makes one each hour, so most runs have none.
const presenceCheck = getAgent

// kedaPoll and kedaError are KEDA's calls for a poll, and for a poll that fails
// (keda-and-kubernetes.md 1.3). keeperPoll is the keeper's calls for a poll (docs/keep.md).
var (
	kedaPoll   = []call{getRequests}
	kedaError  = []call{getRequests, getPools, getRequests}
	keeperPoll = []call{getRequests, getAgents}
)

// total counts the calls of a run by kind.
func (l runCalls) total() tally {
	t := tally{}
	for _, part := range [][]call{l.Start, l.Ready, l.Busy, l.End} {
		for _, c := range part {
			t[c]++
		}
	}
	return t
}

// tally counts calls by kind.
type tally map[call]int

func (t tally) sum() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

// differs returns a difference of two tallies, or "".
func (t tally) differs(other tally) string {
	for _, pair := range [][2]tally{{t, other}, {other, t}} {
		for c := range pair[0] {
			if t[c] != other[c] {
				return fmt.Sprintf("%s: %d and %d", c, t[c], other[c])
			}
		}
	}
	return ""
}
