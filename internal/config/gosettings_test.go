package config

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

func TestIgnoreGoSettings(t *testing.T) {
	t.Setenv("GODEBUG", "gctrace=1")
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 20)
	IgnoreGoSettings()
	if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != 100 || limit != math.MaxInt64 {
		t.Errorf("GOGC is %d, GOMEMLIMIT %d", percent, limit)
	}
	if value, set := os.LookupEnv("GODEBUG"); set {
		t.Errorf("GODEBUG is %s", value)
	}
}
