// Package test holds what is tested from outside: scripts that use the built
// binary as a user does (testdata/script), and the table of which package may
// import which. TestThief plays a job that looks for azptend's identity
// (test/thief), and docs/security.md has what it found. Against
// an azptend with a planted fault (test/internal/fault) the thief must succeed.
// Benchmarks that run the binary are in test/bench.
//
// A script's verdict comes from the emulator's records and from /proc, never
// from azptend's own log; it waits for events, and sleeps for nothing.
package test
