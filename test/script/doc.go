// Package script runs the scripts in testdata: each uses the built binary as a user
// does, against the emulator and the fake agent.
//
// A script's verdict comes from the emulator's records and from /proc, never
// from azptend's own log. It waits for events and never sleeps.
package script
