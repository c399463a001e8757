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
// listener is told to cancel its job, and the agent is removed afterwards.
//
// Besides the [Phase], four values say what is known: [Registration] (does the
// server know the agent), [ListenerState] (does its process run), [JobState] (what
// the listener last reported), and the call in flight. At most one call is in
// flight, so an answer always belongs to the last call.
//
// A handler records what an event says. It may change the phase or add an action,
// such as an interrupt for a second SIGINT. At each step, checkDeadlines does what
// is due by time, even if the Tick for it comes late. Only advance starts calls.
//
// A run ends with an [Outcome]. Package exitcode maps that to a number.
//
// Property tests hold these promises over random event orders:
//   - No job is cut while drain time is left, except by a second SIGINT, by
//     [Policy.CancelOnTerm], or if no source shows the job.
//   - An agent that was registered is removed or reported.
//   - The run ends within the grace period.
//   - Each outcome and reason is true.
package lifecycle
