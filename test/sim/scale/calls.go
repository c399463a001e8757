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

// lifeCalls are the calls that azptend makes in one life, by when it makes them, in
// order. measure holds them against a real azptend's: the two cannot drift apart.
type lifeCalls struct {
	Start []call // until the listener is started
	Ready []call // when it listens
	Busy  []call // when its job starts
	End   []call // when it leaves
}

// The three kinds of lives (docs/how-it-works.md, "The calls of a run").
var (
	onceLife = lifeCalls{
		Start: []call{getPools, postAgent}, Ready: []call{getAgent},
		Busy: []call{patchAgent}, End: []call{deleteAgent},
	}
	// idleLife is one that no job came to: it leaves by AZP_IDLE_TIMEOUT.
	idleLife = lifeCalls{
		Start: []call{getPools, postAgent}, Ready: []call{getAgent},
		End: []call{patchAgent, getAgent, deleteAgent},
	}
	// residentLife takes any number of jobs, none of which costs azptend a call.
	residentLife = idleLife
)

// rosterLook is azptend's check that its agent is still in its pool. It is no call of
// a life's: a process makes one each hour, so that most lives have none.
const rosterLook = getAgent

// kedaPoll and kedaError are KEDA's calls for a poll, and for one that fails
// (keda-and-kubernetes.md 1.3); keepLook is the keeper's for a look (docs/keep.md).
var (
	kedaPoll  = []call{getRequests}
	kedaError = []call{getRequests, getPools, getRequests}
	keepLook  = []call{getRequests, getAgents}
)

// total is how often each kind is made in a life.
func (l lifeCalls) total() tally {
	t := tally{}
	for _, part := range [][]call{l.Start, l.Ready, l.Busy, l.End} {
		for _, c := range part {
			t[c]++
		}
	}
	return t
}

// tally is calls by kind.
type tally map[call]int

func (t tally) sum() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

// differs says where two tallies differ, "" for nowhere.
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
