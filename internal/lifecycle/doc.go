// Package lifecycle decides what happens next to one agent. It is pure: [Step]
// takes the state, one event and the time, and returns the next state and the
// actions to carry out. It starts nothing, waits for nothing and imports only the
// standard library. Package supervisor feeds it and carries out its actions.
//
//	booting → registering → starting → idle ⇄ busy → draining → removing → stopping → gone
//	                                                     └→ stopping → removing → gone
//
// The upper path is the usual one. The agent is idle, or its job has ended. It is
// removed from its pool while its listener still runs, because the server refuses
// to remove an agent that runs a job. Then the listener is stopped. The lower path
// is for a grace period whose drain part is over, and for a second SIGINT: the
// listener is told to cancel its job, and the agent is removed after that.
//
// Besides the [Phase], four values say what is known: [Registration] (does the
// server know the agent), [ListenerState] (does its process run), [JobState] (what
// the listener last reported), and the one call that is in flight. There is never
// more than one call, so every answer meets the state that its question left.
//
// A handler records what an event says, and may change the phase or ask for an
// action at once, such as an interrupt for a second SIGINT. checkDeadlines does what
// is due by time, at each step, so an event that comes late cannot slip past a
// deadline. advance alone starts calls, from the state alone.
//
// A run ends with an [Outcome]. Package exitcode maps that to a number.
//
// Property tests hold these promises over random event orders:
//   - No job is cut while drain time is left, except by a second SIGINT, by
//     [Policy.CancelOnTerm], or where nothing at all shows the job.
//   - An agent that was registered is removed or reported.
//   - The run ends within the grace period.
//   - Each outcome and reason is true.
package lifecycle
