// Package lifecycle decides what happens next in the life of one agent. It is
// pure: [Step] takes the state, one event and the time, and returns the next
// state and the actions to do. It starts nothing, waits for nothing, and imports
// the standard library alone; package tend feeds it and does what it says.
//
//	booting → registering → starting → idle ⇄ busy → draining → removing → stopping → gone
//	                                                     └→ stopping → removing → gone
//
// The upper road is the good one: the agent is idle, or its job has ended, so it
// is removed from its pool while its listener still runs (the server refuses
// that while a job runs: its word is obeyed), and then the listener is stopped.
// The lower road is for a budget that is spent or a person who insists: the
// listener is told to cancel its job, and what is left is removed after that.
//
// Four words besides the phase hold what is known: [Registration] (does the
// server know us), [ListenerState] (does the process live), [JobState] (what the listener
// last said), and the one call that is in flight. There is never more than one,
// so no answer can meet a state that has forgotten its question.
//
// Handlers only write down what an event taught. What to do about it is decided
// in one place, proceed, from the state alone; deadlines are checked at each
// step, so an event that comes late cannot slip past one.
//
// The promises, held by the property tests over random interleavings: no job is
// cancelled while drain budget is left unless a person insisted; an agent that
// was registered is removed or named; the end comes within the budget; the exit
// code is the table's (README.md, "Exit codes").
package lifecycle
