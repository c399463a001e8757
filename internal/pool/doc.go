// Package pool tends a pool as a whole, where package tend tends one agent: it
// lists the agents, says which of them are ghosts and removes those, enables and
// disables, and makes, finds and deletes the placeholder.
//
// Who prunes makes a Survey under Rules, shows its verdicts, and gives its ghosts
// to Remove, which looks at each once more. Who has the pool in hand already may
// call Rules.Judge alone.
//
// A placeholder is a registration that no listener will ever serve. A job is
// only accepted into a pool in which some agent, be it offline, matches its
// demands (azure-devops-rest.md 2.4): a pool that scales to zero needs one. It
// has no key, so nobody can come online as it, and it is never disabled.
package pool
