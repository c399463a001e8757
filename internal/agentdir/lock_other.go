//go:build unix && !linux

package agentdir

// holderBeside is known on Linux alone.
func holderBeside(string) (pid int, beside bool) { return 0, true }
