package mslistener

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// buffer collects lines of several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestOutput: a listener's lines are passed on unchanged, each to its stream, or as lines of
// the log.
func TestOutput(t *testing.T) {
	var out, errs, one, log buffer
	for _, tt := range []struct {
		name    string
		printer Printer
		got     map[*buffer]string
	}{
		{"two streams", Printer{Stdout: &out, Stderr: &errs}, map[*buffer]string{&out: "to out\r\n\nagain\n", &errs: "to err\n"}},
		{"one stream", Printer{Stdout: &one, Stderr: &one}, map[*buffer]string{&one: "to out\r\n\nto err\nagain\n"}},
		{"the log", Printer{Log: textLog(&log)}, map[*buffer]string{
			&log: `level=INFO msg="The listener says" source=listener line="to out"` + "\n" + `level=INFO msg="The listener says" source=listener line="to err"` + "\n" + `level=INFO msg="The listener says" source=listener line=again` + "\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := OpenOutput(tt.printer, slog.New(slog.DiscardHandler))
			fmt.Fprint(o.Stdout, "to out\r\n\n")
			o.Flush()
			fmt.Fprint(o.Stderr, "to err\n")
			o.Flush()
			fmt.Fprint(o.Stdout, "again\n")
			o.Flush()
			for b, want := range tt.got {
				if got := b.String(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			o.Close()
		})
	}
}

// TestFlush: after Flush, everything that the listener printed before was passed on, also
// long lines. Close also passes on a last line without a newline.
func TestFlush(t *testing.T) {
	var all buffer
	o := OpenOutput(Printer{Stdout: &all, Stderr: &all}, slog.New(slog.DiscardHandler))
	var want strings.Builder
	for n := range 1000 {
		line := fmt.Sprintf("line %d %s\n", n, strings.Repeat("x", n%300))
		want.WriteString(line)
		fmt.Fprint(o.Stdout, line)
		if n%100 == 0 {
			if o.Flush(); all.String() != want.String() {
				t.Fatalf("after %d lines %d bytes were passed on, want %d", n+1, len(all.String()), want.Len())
			}
		}
	}
	long := strings.Repeat("y", 10*maxLine) + "\n"
	fmt.Fprint(o.Stdout, long)
	fmt.Fprint(o.Stdout, "no end")
	want.WriteString(long)
	if o.Flush(); all.String() != want.String() {
		t.Errorf("%d bytes were passed on, want %d", len(all.String()), want.Len())
	}
	o.Close()
	want.WriteString("no end")
	if all.String() != want.String() {
		t.Errorf("at the end %d bytes were passed on, want %d", len(all.String()), want.Len())
	}
}

// TestOthersHaveThePipe: a process that a job left may have the listener's output open, and
// print without end. Close does not wait for it.
func TestOthersHaveThePipe(t *testing.T) {
	var all buffer
	o := OpenOutput(Printer{Stdout: &all, Stderr: &all}, slog.New(slog.DiscardHandler))
	fd, err := syscall.Dup(int(o.Stdout.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	other := os.NewFile(uintptr(fd), "other")
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := other.WriteString("on and on\n"); err != nil {
				ended <- err
				return
			}
		}
	}()
	o.Close() // must return
	if err := <-ended; err == nil {
		t.Error("the other process can still write")
	}
	other.Close()
}
