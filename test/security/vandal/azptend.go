package main

import (
	"bytes"
	"os/exec"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/process"
)

// azptend is a running azptend process.
type azptend struct {
	*process.Process
	asked      time.Time  // when it got SIGTERM; zero: not yet
	peakMemory func() int // bytes
}

// maxOutput limits how much of azptend's output is kept: an attack can make it print
// without end.
const maxOutput = 4 << 20

// noise marks the lines that the vandal itself writes to azptend's output.
const noise = "vandal-noise"

func startAzptend(cmd *exec.Cmd) (*azptend, error) {
	// Something that azptend left running may hold the pipe open.
	a, err := process.StartWith(cmd, process.OutputOptions{Keep: withoutNoise, Linger: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	return &azptend{Process: a, peakMemory: a.WatchMemory()}, nil
}

// withoutNoise drops the vandal's lines. Of very long output it keeps only azptend's own
// lines.
func withoutNoise(kept int, chunk []byte) []byte {
	if kept < maxOutput && !bytes.Contains(chunk, []byte(noise)) {
		return chunk
	}
	var lines []byte
	for line := range bytes.Lines(chunk) {
		if !bytes.Contains(line, []byte(noise)) && bytes.Contains(line, []byte("level=")) && kept+len(lines) < 2*maxOutput {
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

// term sends SIGTERM once, and notes when.
func (a *azptend) term() {
	if a.alive() && a.asked.IsZero() {
		a.asked = time.Now()
		_ = a.Signal(syscall.SIGTERM)
	}
}

// wait waits at most d for the exit, and reports whether azptend has exited.
func (a *azptend) wait(d time.Duration) bool {
	select {
	case <-a.Done():
		return true
	case <-time.After(d):
		return false
	}
}
