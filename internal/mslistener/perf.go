package mslistener

import (
	"bytes"
	"context"
	"sync"

	"github.com/azptend/azptend/internal/safefile"
)

// perfVariable tells the listener where to write its performance counters
// (agent-protocol.md 5.6).
const perfVariable = "VSTS_AGENT_PERFLOG"

// PerfCounts is what a listener's counters show.
type PerfCounts struct {
	Session  bool // its session exists
	Messages int  // received; a poll without a message is not counted
	Jobs     int  // the messages that are jobs
	Updates  int  // the messages that ask it to update itself
}

// PerfFile is the file of counters that one listener writes, one line for each event:
// Agent.perf in the directory that VSTS_AGENT_PERFLOG names. Jobs can write there too, so
// azptend reads only what was added, up to a limit. If the file cannot be read, the counts
// stay as they are. That is not an error, because no decision may depend on this file
// alone.
type PerfFile struct {
	dir    string
	asUser func(func() error) error

	mu      sync.Mutex
	lines   *safefile.LineFollower
	counts  PerfCounts
	onError func(error) // called at the first error; nil after that
}

// OpenPerf follows the counters in this directory. The file need not exist yet.
// OnError is called once if it cannot be read.
func (f Files) OpenPerf(dir string, onError func(error)) Perf {
	return &PerfFile{dir: dir, asUser: f.Dir.AsUser, lines: safefile.Dir(dir).FollowLines("Agent.perf"), onError: onError}
}

// Counts reads what was added, and returns the counts since the start. A job that replaces
// the file cannot lower them.
func (p *PerfFile) Counts() PerfCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.asUser(func() error {
		for range maxReads {
			lines, _, err := p.lines.Next()
			if err != nil || len(lines) == 0 {
				return err
			}
			for line := range bytes.Lines(lines) {
				p.counts.count(line)
			}
		}
		return nil
	})
	if err != nil && p.onError != nil {
		p.onError(err)
		p.onError = nil
	}
	return p.counts
}

// maxReads is how many reads one call makes at most, of 256 KiB each (see
// safefile.LineFollower). A listener writes a few hundred bytes for a job.
const maxReads = 16

// count counts one line, "Name:time".
func (c *PerfCounts) count(line []byte) {
	name, _, is := bytes.Cut(line, []byte(":"))
	if !is {
		return
	}
	kind, message := bytes.CutPrefix(name, []byte("MessageReceived_"))
	if !message {
		c.Session = c.Session || string(name) == "SessionCreated"
		return
	}
	c.Messages++
	switch string(kind) {
	case "PipelineAgentJobRequest":
		c.Jobs++
	case "AgentRefresh":
		c.Updates++
	}
}

// Wait waits until enough returns true for the counts.
func (p *PerfFile) Wait(ctx context.Context, enough func(PerfCounts) bool) (PerfCounts, error) {
	var counts PerfCounts
	err := waitForChange(ctx, p.dir, func() bool {
		counts = p.Counts()
		return enough(counts)
	})
	return counts, err
}
