//go:build unix && !linux

package fakeagent

// letOrphansGo has nothing to do: only Linux has subreapers.
func letOrphansGo() error { return nil }
