// Package selftest tries what azptend believes about Azure DevOps on a throw-away
// agent in a real pool, and says whether what it saw is covered: each belief is a
// row of docs/assumptions.md, or one of the basic things without which nothing
// would work.
//
// It is safe in a pool that is used: the agent is disabled before it could be given
// a job, has a name of its own, and is removed whatever happens. What cannot be
// tried so is named with its reason.
//
// The listener's part (a token for the agent's own key, a session) is small enough
// to be made here: agent-protocol.md 7.1, 7.2.
package selftest
