package config

import (
	"math"
	"os"
	"runtime/debug"
)

// IgnoreGoSettings undoes what GOGC, GOMEMLIMIT and GODEBUG have changed in this process.
// People set them for the Go programs of jobs, which still get them: GOMEMLIMIT=64MiB
// would make azptend collect garbage all the time, and GOGC=off would make it grow
// without bound.
func IgnoreGoSettings() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	_ = os.Unsetenv("GODEBUG") // the runtime reads it again
}
