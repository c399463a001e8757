package main

import (
	"github.com/azptend/azptend/internal/emulator"
)

// jobKind is the job that the agent has when the event comes.
type jobKind string

const (
	noJob   jobKind = ""
	ending  jobKind = "ending"  // it ends as soon as the event is over
	endless jobKind = "endless" // it never ends by itself
)

// phase is the moment of an agent's life at which the event comes.
type phase struct {
	name     string
	what     string         // for the page
	hold     *emulator.Hold // the call that keeps the agent in this phase until the event has come
	own      bool           // the held call is azptend's own, and gets the outcome
	listener bool           // the listener runs
	job      jobKind
	drained  bool // azptend was asked to drain, without a deadline
	reach    func(*play) error
}

// beforeListener reports whether azptend has not started a listener yet.
func (p phase) beforeListener() bool { return !p.listener && p.hold != nil }

// phases returns the phases in the order of an agent's life.
func phases() []phase {
	return []phase{
		{name: "before the token", what: "the identity endpoint has been asked and has not answered",
			hold: &emulator.Hold{Method: "GET", Path: "^/msi/token"}, own: true, reach: (*play).begin},
		{name: "POST in flight", what: "the server has not acted on the registration yet",
			hold: &emulator.Hold{Method: "POST", Path: `/agents\?`}, own: true, reach: (*play).begin},
		{name: "POST answered", what: "the server has added the agent, and azptend does not know it yet: no file is written",
			hold: &emulator.Hold{Method: "POST", Path: `/agents\?`, When: emulator.HoldAfter}, reach: (*play).begin},
		{name: "files written", what: "the listener has started, and asks for its first token",
			hold: &emulator.Hold{Method: "POST", Path: "/oauth2/token"}, listener: true, reach: (*play).begin},
		{name: "session being created", what: "the listener has asked for its session",
			hold: &emulator.Hold{Method: "POST", Path: "/sessions"}, listener: true, reach: (*play).begin},
		{name: "idle", what: "the listener polls for messages", listener: true, reach: (*play).serve},
		{name: "job assigned", what: "the listener has the job's message, and no worker has started",
			hold:     &emulator.Hold{Method: "PATCH", Path: "/jobrequests/"},
			listener: true, job: ending, reach: (*play).assign},
		{name: "busy", what: "a job runs, which has left a daemon in a session of its own; it ends after the event",
			listener: true, job: ending, reach: (*play).work},
		{name: "draining", what: "azptend drain was called, and the job never ends by itself",
			listener: true, job: endless, drained: true, reach: (*play).drainAtWork},
		{name: "updating", what: "the listener has ended with code 3, and its script is at work", reach: (*play).update},
		{name: "removing", what: "azptend drain was called of an idle agent, and the server has not acted on the DELETE yet",
			hold: &emulator.Hold{Method: "DELETE", Path: "/agents/"}, own: true,
			listener: true, drained: true, reach: (*play).drainIdle},
	}
}

// order is the order of steps in which the listener starts, and the agent's version that the
// fake agent imitates.
type order struct {
	name string
	what string // for the page
	env  []string
}

// orders returns the order of the listener's source, which is the fake agent's default, and
// the one that the fake agent had before we read the source.
func orders() []order {
	return []order{
		{name: "session first", what: "as in the listener's source: it creates its session, reads feature flags, connects to the notification socket and polls; " +
			"it retries a refused token forever; version 5"},
		{name: "socket first", what: "it connects to the notification socket before it creates its session; a refused token ends it; version 4",
			env: []string{"AZPTEND_FAKEAGENT_CONNECTS=first", "AZPTEND_FAKEAGENT_REFUSED=ends", "AZPTEND_FAKEAGENT_PLAYS=v4"}},
	}
}

// inOrder returns the cells of one order.
func inOrder(cells []cell, name string) []cell {
	var some []cell
	for _, c := range cells {
		if c.order.name == name {
			some = append(some, c)
		}
	}
	return some
}

// byDefault returns what make matrix plays: all cells of the source's order, and a pairwise
// set of the other.
func byDefault(cells []cell) []cell {
	source, other := orders()[0].name, orders()[1].name
	return append(inOrder(cells, source), pairwise(inOrder(cells, other))...)
}
