package agentdir

import (
	"bytes"
	"context"
	"sync"

	"github.com/azptend/azptend/internal/safefile"
)

// Perf is the file of counters that one listener writes, a line for each:
// Agent.perf in the directory that VSTS_AGENT_PERFLOG names (agent-protocol.md
// 5.6). Jobs can write there as well. So only what was added is read, at most so
// much of it. A file that cannot be read counts nothing more, and is no error: no
// decision may depend on this file alone.
type Perf struct {
	dir string
	as  func(func() error) error // with the rights of the jobs' user

	mu      sync.Mutex
	lines   *safefile.Lines
	counts  PerfCounts
	refused func(error) // called at the first error; nil after that
}

// PerfCounts is what a listener has counted so far.
type PerfCounts struct {
	Session  bool // it has its session
	Messages int  // all that it has received; a poll without one is not counted
	Jobs     int  // of these, jobs that it was given
	Updates  int  // and requests that it update itself
}

// NewPerf is the file in this directory, read by as. It need not be there yet.
// Refused is called once if the file cannot be read.
func NewPerf(dir string, as func(func() error) error, refused func(error)) *Perf {
	return &Perf{dir: dir, as: as, lines: safefile.Dir(dir).Lines("Agent.perf"), refused: refused}
}

// Dir is the directory that the listener writes to.
func (p *Perf) Dir() string { return p.dir }

// Counts reads what was added, and returns what was counted since the start. What
// was counted once stays counted, also if a job replaces the file.
func (p *Perf) Counts() PerfCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.as(func() error {
		for range mostWindows {
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
	if err != nil && p.refused != nil {
		p.refused(err)
		p.refused = nil
	}
	return p.counts
}

// mostWindows bounds what one look reads (safefile.Lines: 256 KiB each). A listener
// writes some hundred bytes for a job.
const mostWindows = 16

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

// Await waits until the listener has counted enough.
func (p *Perf) Await(ctx context.Context, enough func(PerfCounts) bool) (PerfCounts, error) {
	var counts PerfCounts
	err := awaitChange(ctx, p.dir, func() (bool, error) {
		counts = p.Counts()
		return enough(counts), nil
	})
	return counts, err
}
