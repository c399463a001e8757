package fakeagent

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// perf writes the counters of VSTS_AGENT_PERFLOG (5.6): "Name:ISO8601" lines in
// Agent.perf. The empty folder means that nobody asked for them; that a line
// cannot be written is no reason to fail.
type perf string

func (p perf) count(name string) {
	if p == "" {
		return
	}
	if err := os.MkdirAll(string(p), 0o755); err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(string(p), "Agent.perf"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s:%s\n", name, jsonTime(time.Now()))
}
