// Package keep is the pool's keeper: for each of its pools a loop that looks,
// removes the agents that are ghosts, keeps the placeholder, and shows what it
// sees, as metrics and as a page.
//
// A look is two requests, whatever the pool's size: the agents, and the job
// requests. It is followed by a pause that is at least ten times as long as the
// look took, so that a pool whose list is slow to make is asked for seldom
// (azure-devops-rest.md 3: limits count the server's work, not requests). What is
// judged and removed, and why, is package pool's.
//
// Nothing is remembered that a keeper needs to be right: what it does follows from
// what it sees, so that it may be killed at any moment, two of them may keep one
// pool, and a server that is away is looked at again later. What it does remember,
// for counting and for the page, is bounded.
package keep
