//go:build unix && !linux

package fakeagent

// resignAsSubreaper has nothing to do: only Linux has subreapers.
func resignAsSubreaper() error { return nil }
