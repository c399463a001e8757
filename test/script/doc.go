// Package script runs the scripts in testdata: each uses the built binary as a user
// does, against the emulator and the fake agent.
//
// A script checks the emulator's records and /proc, not azptend's own log. It waits for events
// and never sleeps.
package script
