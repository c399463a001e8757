package agentdir

import (
	"bytes"
	"context"
	"sync"

	"github.com/azptend/azptend/internal/safefile"
)

// PerfFile is the file of counters that one listener writes, a line for each:
// Agent.perf in the directory that VSTS_AGENT_PERFLOG names (agent-protocol.md
// 5.6). Jobs can write there as well. So only what was added is read, at most so
// much of it. A file that cannot be read counts nothing more, and is no error: no
// decision may depend on this file alone.
type PerfFile struct {
	dir    string
	asUser func(func() error) error // with the rights of the jobs' user

	mu      sync.Mutex
	lines   *safefile.LineFollower
	counts  PerfCounts
	onError func(error) // called at the first error; nil after that
}

// PerfCounts is what a listener has counted so far.
type PerfCounts struct {
	Session  bool // it has its session
	Messages int  // all that it has received; a poll without one is not counted
	Jobs     int  // of these, jobs that it was given
	Updates  int  // and requests that it update itself
}

// NewPerfFile is the file in this directory, read by as. It need not be there yet.
// Refused is called once if the file cannot be read.
func NewPerfFile(dir string, asUser func(func() error) error, onError func(error)) *PerfFile {
	return &PerfFile{dir: dir, asUser: asUser, lines: safefile.Dir(dir).FollowLines("Agent.perf"), onError: onError}
}

// Dir is the directory that the listener writes to.
func (p *PerfFile) Dir() string { return p.dir }

// Counts reads what was added, and returns what was counted since the start. What
// was counted once stays counted, also if a job replaces the file.
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

// maxReads bounds what one look reads (safefile.Lines: 256 KiB each). A listener
// writes some hundred bytes for a job.
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

// Wait waits until the listener has counted enough.
func (p *PerfFile) Wait(ctx context.Context, enough func(PerfCounts) bool) (PerfCounts, error) {
	var counts PerfCounts
	err := waitForChange(ctx, p.dir, func() (bool, error) {
		counts = p.Counts()
		return enough(counts), nil
	})
	return counts, err
}
