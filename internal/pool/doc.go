// Package pool tends a pool as a whole, where package tend tends one agent: it
// makes, finds and deletes the placeholder, and later lists and prunes.
//
// A placeholder is a registration that no listener will ever serve. A job is
// only accepted into a pool in which some agent, be it offline, matches its
// demands (azure-devops-rest.md 2.4): a pool that scales to zero needs one. It
// has no key, so nobody can come online as it, and it is never disabled.
package pool
