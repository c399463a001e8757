// Package tend tends one agent: it feeds package lifecycle with what happens,
// and does what lifecycle says. It is where the leaves meet (azdo, agent, proc),
// which do not know each other, and it decides nothing itself: when something is
// tried again, given up or killed is lifecycle's business.
//
// One goroutine, the runner's loop, owns all state. Every call, and everything
// that waits (for the listener's socket, its session, its end, its update),
// runs beside it and comes back as a word: an event for lifecycle, and what the
// runner has to remember of it. A word is heard in the order it was said; the
// listener's last words are always heard before its end.
package supervisor
