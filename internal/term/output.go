package term

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Output is a command's standard output. It stores the error of the first write that fails (a
// full disk, a closed pipe), so that the command can return it. It is safe for concurrent use.
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

// Err is the error of the first write that failed.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.firstErr
}

// PrintJSON prints a value as indented JSON, for --json.
func PrintJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
