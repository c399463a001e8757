package config

import (
	"math"
	"os"
	"runtime/debug"
)

// IgnoreGoSettings undoes the effect of GOGC, GOMEMLIMIT and GODEBUG on this process. People
// set them for the Go programs of jobs, which still get them. GOMEMLIMIT=64MiB would make
// azptend collect garbage all the time, and with GOGC=off its memory would grow without bound.
func IgnoreGoSettings() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	_ = os.Unsetenv("GODEBUG") // the runtime notices the change
}
