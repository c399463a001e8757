// Package selftest tests azptend's assumptions about Azure DevOps with a temporary agent
// in a real pool, and says whether azptend handles what it saw. Each assumption is a row
// of docs/assumptions.md, or one of the basics without which nothing works.
//
// It is safe in a pool that is in use: the agent is disabled from the start, so that it
// gets no job, it has a name of its own, and it is always removed. An assumption that
// cannot be tested this way is reported with the reason.
//
// The listener's part (a token for the agent's own key, a session) is small enough to be
// implemented here: agent-protocol.md 7.1, 7.2.
package selftest
