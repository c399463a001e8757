package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress tells a person at a terminal how far something is that takes longer
// than a second. Elsewhere it says nothing. It may be used by several goroutines,
// and must be ended before anything else is written where it is.
type progress struct {
	mu    sync.Mutex
	w     io.Writer // nil: no terminal
	text  string
	shown bool
	timer *time.Timer
}

const progressAfter = time.Second

// newProgress begins with what is under way.
func newProgress(f *os.File, text string) *progress {
	g := &progress{text: text}
	if isTerminal(f) {
		g.w = f
		g.timer = time.AfterFunc(progressAfter, g.begin)
	}
	return g
}

func (g *progress) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w != nil {
		g.shown = true
		g.draw()
	}
}

func (g *progress) draw() { fmt.Fprintf(g.w, "\r\x1b[K%s", g.text) }

// say replaces the text.
func (g *progress) say(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.text = fmt.Sprintf(format, args...)
	if g.shown {
		g.draw()
	}
}

// hide takes the text away until the next one: a line comes where it is.
func (g *progress) hide() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shown {
		fmt.Fprint(g.w, "\r\x1b[K")
	}
}

// end takes the text away.
func (g *progress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return
	}
	g.timer.Stop()
	if g.shown {
		fmt.Fprint(g.w, "\r\x1b[K")
	}
	g.w, g.shown = nil, false
}
