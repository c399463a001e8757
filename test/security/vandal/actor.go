package main

import (
	"bytes"
	"os/exec"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// azptend is one that was started.
type azptend struct {
	*process.Actor
	asked      time.Time  // when it got SIGTERM; zero: never
	peakMemory func() int // bytes
}

// mostSaid is how much of an azptend's output is kept: an attack can make it
// print for ever.
const mostSaid = 4 << 20

// noise marks lines that the vandal itself makes azptend print.
const noise = "vandal-noise"

func startAzptend(cmd *exec.Cmd) (*azptend, error) {
	// Something that azptend left running may hold the pipe open.
	a, err := process.ActWith(cmd, process.Output{Keep: withoutNoise, Linger: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	return &azptend{Actor: a, peakMemory: a.WatchMemory()}, nil
}

// withoutNoise drops the vandal's lines, and of very long output all but azptend's
// own lines.
func withoutNoise(kept int, chunk []byte) []byte {
	if kept < mostSaid && !bytes.Contains(chunk, []byte(noise)) {
		return chunk
	}
	var lines []byte
	for line := range bytes.Lines(chunk) {
		if !bytes.Contains(line, []byte(noise)) && bytes.Contains(line, []byte("level=")) && kept+len(lines) < 2*mostSaid {
			lines = append(lines, line...)
		}
	}
	return lines
}

func (a *azptend) alive() bool {
	select {
	case <-a.Done():
		return false
	default:
		return true
	}
}

// term sends SIGTERM, which starts the clock.
func (a *azptend) term() {
	if a.alive() && a.asked.IsZero() {
		a.asked = time.Now()
		_ = a.Signal(syscall.SIGTERM)
	}
}

// wait waits for the end, for so long at most.
func (a *azptend) wait(d time.Duration) bool {
	select {
	case <-a.Done():
		return true
	case <-time.After(d):
		return false
	}
}
