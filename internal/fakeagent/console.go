package fakeagent

import (
	"bytes"
	"context"
	"log"
	"strings"
	"sync"
	"time"
)

// consoleEvery is how often live lines are sent.
const consoleEvery = 250 * time.Millisecond

// console receives a record's lines. It sends them to the live feed in batches, and writes them
// with the time to the log. To write a line never waits for the server.
type console struct {
	plan   *plan
	record string
	mask   *strings.Replacer
	diag   *log.Logger

	mu      sync.Mutex
	pending []string
	log     bytes.Buffer

	sent int // lines that were sent; only pump uses it
	stop chan struct{}
	done chan struct{}
}

func openConsole(ctx context.Context, p *plan, recordID string, mask *strings.Replacer, diag *log.Logger) *console {
	c := &console{plan: p, record: recordID, mask: mask, diag: diag, stop: make(chan struct{}), done: make(chan struct{})}
	go c.pump(ctx)
	return c
}

func (c *console) line(s string) {
	s = c.mask.Replace(strings.ToValidUTF8(strings.TrimRight(s, "\r\n"), "\uFFFD"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, s)
	c.log.WriteString(jsonTime(time.Now()) + " " + s + "\n")
}

func (c *console) pump(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(consoleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.flush(ctx)
		case <-c.stop:
			c.flush(ctx)
			return
		}
	}
}

func (c *console) flush(ctx context.Context) {
	c.mu.Lock()
	lines := c.pending
	c.pending = nil
	c.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	if err := c.plan.feed(ctx, c.record, c.sent+1, lines); err != nil {
		c.diag.Printf("cannot send live lines: %v", err)
	}
	c.sent += len(lines)
}

// close sends the remaining lines and uploads the log; nil means that there is no log.
func (c *console) close(ctx context.Context) *logRef {
	close(c.stop)
	<-c.done
	c.mu.Lock()
	content := bytes.Clone(c.log.Bytes())
	c.mu.Unlock()
	if len(content) == 0 {
		return nil
	}
	ref, err := c.plan.uploadLog(ctx, c.record, content)
	if err != nil {
		c.diag.Printf("cannot upload a log: %v", err)
		return nil
	}
	return ref
}
