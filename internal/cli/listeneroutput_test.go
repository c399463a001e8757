package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/supervisor"
)

// printing is a process whose streams are files, and a listener in it.
type printing struct {
	p         Process
	o         supervisor.Options
	out, errs string
	done      func()
}

func newPrinting(t *testing.T, format string, shared, oneFile bool) *printing {
	t.Helper()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	p := Process{Stderr: file("err"), redactor: &secret.Redactor{}}
	if p.Stdout = p.Stderr; !oneFile {
		p.Stdout = file("out")
	}
	p.openStreams()
	p.neverWait()
	p.redactor.Add(secret.New("the-secret-of-azptend"))
	pr := &printing{p: p, o: supervisor.Options{Name: "one", Shared: shared, Log: slog.New(slog.DiscardHandler)}, out: p.Stdout.Name(), errs: p.Stderr.Name()}
	pr.done = pipeOutput(p, config.Settings{LogFormat: format}, &pr.o)
	return pr
}

func (pr *printing) said(t *testing.T, file string) string {
	t.Helper()
	pr.o.FlushOutput()
	pr.p.flushStreams()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWhatAListenerPrints: a single one's lines come out as they are, each on its
// own stream; those of several, and for a machine, are lines of the log.
func TestWhatAListenerPrints(t *testing.T) {
	for _, tt := range []struct {
		name, format      string
		shared, oneFile   bool
		wantOut, wantErrs string
	}{
		{"two streams", "text", false, false, "to out the-[redacted]\r\n\nagain\n", "to err\n"},
		{"one stream", "text", false, true, "", "to out the-[redacted]\r\n\nto err\nagain\n"},
		{"several", "text", true, false, "", `line="to out the-[redacted]" agent=one` + "\n" + `line="to err" agent=one` + "\n" + "line=again agent=one\n"},
		{"json", "json", false, false, "", `"line":"to out the-[redacted]"}` + "\n" + `"line":"to err"}` + "\n" + `"line":"again"}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newPrinting(t, tt.format, tt.shared, tt.oneFile)
			fmt.Fprint(pr.o.Stdout, "to out the-the-secret-of-azptend\r\n\n")
			fmt.Fprint(pr.o.Stderr, "to err\n")
			fmt.Fprint(pr.o.Stdout, "again\n")
			errs := pr.said(t, pr.errs)
			var kept []string
			for line := range strings.Lines(errs) { // what is in front of it in a line of the log
				if i := max(strings.Index(line, "line="), strings.Index(line, `"line":`)); i > 0 {
					line = line[i:]
				}
				kept = append(kept, line)
			}
			if got := strings.Join(kept, ""); got != tt.wantErrs {
				t.Errorf("standard error has %q, want %q", got, tt.wantErrs)
			}
			if !tt.oneFile {
				if got := pr.said(t, pr.out); got != tt.wantOut {
					t.Errorf("standard output has %q, want %q", got, tt.wantOut)
				}
			}
			pr.done()
		})
	}
}

// TestWhatWasPrintedComesFirst: once Printed has returned, everything is in the
// log that the listener had printed, however long its lines, and also without an
// end of the last.
func TestWhatWasPrintedComesFirst(t *testing.T) {
	pr := newPrinting(t, "text", false, true)
	var want strings.Builder
	for n := range 1000 {
		line := fmt.Sprintf("line %d %s\n", n, strings.Repeat("x", n%300))
		want.WriteString(line)
		fmt.Fprint(pr.o.Stdout, line)
		if n%100 == 0 {
			if got := pr.said(t, pr.errs); got != want.String() {
				t.Fatalf("after %d lines %d bytes were passed on, want %d", n+1, len(got), want.Len())
			}
		}
	}
	long := strings.Repeat("y", 10*maxLine) + "\n"
	fmt.Fprint(pr.o.Stdout, long)
	fmt.Fprint(pr.o.Stdout, "no end")
	want.WriteString(long)
	if got := pr.said(t, pr.errs); got != want.String() {
		t.Errorf("%d bytes were passed on, want %d", len(got), want.Len())
	}
	pr.done()
	pr.p.flushStreams()
	want.WriteString("no end")
	if got, _ := os.ReadFile(pr.errs); string(got) != want.String() {
		t.Errorf("at the end %d bytes were passed on, want %d", len(got), want.Len())
	}
}

// TestSomebodyElseHasThePipe: what a job has left running may hold the listener's
// output open, and print on: the end does not wait for it.
func TestSomebodyElseHasThePipe(t *testing.T) {
	pr := newPrinting(t, "text", false, true)
	fd, err := syscall.Dup(int(pr.o.Stdout.Fd()))
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
	pr.done() // would not return
	if err := <-ended; err == nil {
		t.Error("the other one writes on")
	}
	other.Close()
}
