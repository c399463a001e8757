package fakeagent

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// terminal prints the listener's lines (5.6).
type terminal struct {
	mu          sync.Mutex
	out, errOut io.Writer
	log         *log.Logger // also gets the printed lines; nil at first
}

func (t *terminal) line(format string, args ...any) {
	t.write(t.out, "WRITE LINE: ", format, args)
}

func (t *terminal) err(format string, args ...any) {
	t.write(t.errOut, "WRITE ERROR: ", format, args)
}

// fail prints an error that ends the program and returns the exit code.
func (t *terminal) fail(err error, code int) int {
	t.err("An error occurred: %v", err)
	return code
}

// write prints a line, and writes it to the log, as the real Terminal.cs does.
func (t *terminal) write(to io.Writer, how, format string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if t.log != nil {
		t.log.Print(how + text)
	}
	fmt.Fprintln(to, text)
}

func (t *terminal) setLog(l *log.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = l
}

// dated prints a line with the time, in .NET's format "u", before it.
func (t *terminal) dated(format string, args ...any) {
	t.line("%s: "+format, withTime(args)...)
}

func (t *terminal) datedErr(format string, args ...any) {
	t.err("%s: "+format, withTime(args)...)
}

func withTime(args []any) []any {
	return append([]any{time.Now().UTC().Format("2006-01-02 15:04:05Z")}, args...)
}

// openDiag opens the process's log, _diag/Agent_….log or Worker_….log (5.6). dir is another
// directory if a variable sets one (3.9).
func openDiag(dir, root, name string) (*log.Logger, io.Closer, error) {
	if dir == "" {
		dir = filepath.Join(root, "_diag")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("cannot create the log directory: %w", err)
	}
	file := filepath.Join(dir, name+"_"+time.Now().UTC().Format("20060102-150405")+"-utc.log")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the log: %w", err)
	}
	return log.New(f, "", log.LstdFlags|log.LUTC), f, nil
}
