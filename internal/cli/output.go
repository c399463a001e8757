package cli

import (
	"fmt"
	"io"
	"sync"
)

// Output is a command's standard output. It remembers the first write that
// failed (a full disk, a reader that has gone), so that the command can end with
// it instead of in silence. It is safe for use by several goroutines.
type Output struct {
	W        io.Writer
	mu       sync.Mutex
	firstErr error
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.W.Write(p)
	if err != nil && o.firstErr == nil {
		o.firstErr = fmt.Errorf("cannot write to standard output: %w", err)
	}
	return n, err
}

// Err is the first write's error.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.firstErr
}
