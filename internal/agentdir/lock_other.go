//go:build unix && !linux

package agentdir

// lockHolder is known on Linux alone.
func lockHolder(string) (pid int, sameMounts bool) { return 0, true }
