package term

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// progressDelay is when progress is first shown.
	progressDelay = time.Second
	// progressInterval is the shortest time between two changes of the line.
	progressInterval = 100 * time.Millisecond

	clearLine = "\r\x1b[K"
)

// Progress is one line on a terminal that changes, for operations that take longer than a
// second. It is safe for concurrent use. Call End before anything else is written to the
// terminal.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer // nil: there is no terminal, or End was called
	text  string
	shown bool
	drawn time.Time
	timer *time.Timer
}

// NewProgress shows a text on w after a second. If terminal is false, it shows nothing.
func NewProgress(w io.Writer, terminal bool, text string) *Progress {
	p := &Progress{text: text}
	if terminal {
		p.w = w
		p.timer = time.AfterFunc(progressDelay, p.begin)
	}
	return p
}

func (p *Progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		p.shown = true
		p.draw()
	}
}

func (p *Progress) draw() {
	p.drawn = time.Now()
	fmt.Fprint(p.w, clearLine, p.text)
}

// Say replaces the text.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
	if p.shown && time.Since(p.drawn) >= progressInterval {
		p.draw()
	}
}

// Hide removes the text until the next Say, so that a line can be printed.
func (p *Progress) Hide() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, clearLine)
		p.drawn = time.Time{}
	}
}

// End removes the text.
func (p *Progress) End() {
	p.Hide()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		p.timer.Stop()
	}
	p.w, p.shown = nil, false
}
