//go:build unix

package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/term"
)

// doctorPrinter prints each finding when its check ends: one line, and below it the problems,
// why they matter and what to do.
type doctorPrinter struct {
	out       io.Writer
	progress  io.Writer // the terminal, on which a line can be erased; nil: there is none
	color     bool
	nameWidth int // of the names' column
}

func newDoctorPrinter(p Process, out io.Writer) *doctorPrinter {
	t := &doctorPrinter{out: out, color: p.WantsColor()}
	if p.showsProgress() {
		t.progress = p.redactor.Writer(p.Stderr)
	}
	for _, c := range doctor.Checks() {
		t.nameWidth = max(t.nameWidth, len(c.Name))
	}
	return t
}

// printFinding is called twice for a check: before it, without a verdict, and after it.
func (t *doctorPrinter) printFinding(f doctor.Finding) {
	if f.Verdict == "" {
		if t.progress != nil {
			fmt.Fprintf(t.progress, "\r\x1b[K%-8s%s …", "", f.Check)
		}
		return
	}
	if t.progress != nil {
		fmt.Fprint(t.progress, "\r\x1b[K")
	}
	fmt.Fprintf(t.out, "%s %-*s  %s\n", t.colorVerdict(f.Verdict), t.nameWidth, f.Check, oneLine(f.Found))
	below := func(label, text string) {
		if text != "" {
			fmt.Fprintf(t.out, "%*s  %s %s\n", t.nameWidth+9, "", label, oneLine(text))
		}
	}
	for _, p := range f.Problems {
		if p.What != f.Found {
			below("-", p.What)
		}
		below("fix:", p.Fix)
	}
	if f.Verdict == doctor.Failed {
		below("why:", f.Why)
	}
}

// oneLine is a text of a server, a job or an error, made safe for one line on a terminal.
func oneLine(s string) string { return term.Safe(strings.Join(strings.Fields(s), " ")) }

// colorVerdict is a verdict in green, yellow or red, padded to the width of the longest.
func (t *doctorPrinter) colorVerdict(v doctor.Verdict) string {
	padded := fmt.Sprintf("%-8s", v)
	colour := map[doctor.Verdict]string{doctor.OK: "32", doctor.Warning: "33", doctor.Failed: "31", doctor.Skipped: "2"}[v]
	if !t.color {
		return padded
	}
	return "\x1b[" + colour + "m" + padded + "\x1b[0m"
}

// printConclusion says whether run would work.
func (t *doctorPrinter) printConclusion(r doctor.Report) {
	count := map[doctor.Verdict]int{}
	var first doctor.Name
	for _, f := range r.Findings {
		count[f.Verdict]++
		if f.Verdict == doctor.Failed && first == "" {
			first = f.Check
		}
	}
	fmt.Fprintln(t.out)
	if r.Code() == 0 {
		fmt.Fprintf(t.out, "azptend run would work: %d ok, %d with warnings, %d skipped\n", count[doctor.OK], count[doctor.Warning], count[doctor.Skipped])
		return
	}
	fmt.Fprintf(t.out, "azptend run would exit with code %d; fix %s first (%d failed, %d skipped)\n",
		r.Code(), first, count[doctor.Failed], count[doctor.Skipped])
}

// The JSON of a report, which docs/doctor.md describes.
type (
	reportJSON struct {
		Works    bool          `json:"works"`     // whether azptend run would work
		ExitCode int           `json:"exit_code"` // the exit code of azptend run
		Checks   []findingJSON `json:"checks"`    // the checks, in their order
	}
	findingJSON struct {
		Check     doctor.Name    `json:"check"`                // name of the check
		Verdict   doctor.Verdict `json:"verdict"`              // the result
		Found     string         `json:"found"`                // what was found, in a sentence
		Why       string         `json:"why"`                  // what the check is for
		Problems  []problemJSON  `json:"problems"`             // failures first, then warnings
		Blocks    []doctor.Name  `json:"blocks"`               // the checks that need this one
		BlockedBy doctor.Name    `json:"blocked_by,omitempty"` // the failed check for which this one was skipped
		ExitCode  int            `json:"exit_code,omitempty"`  // exit code of azptend run for this failure
		Took      int64          `json:"took_ms"`              // duration in milliseconds
	}
	problemJSON struct {
		Cause string `json:"cause"`         // the cause, one of docs/doctor.md
		What  string `json:"what"`          // the problem, in a sentence
		Fix   string `json:"fix,omitempty"` // what to do
	}
)

func printReport(w io.Writer, r doctor.Report) error {
	shown := reportJSON{Works: r.Code() == 0, ExitCode: r.Code(), Checks: []findingJSON{}}
	for _, f := range r.Findings {
		one := findingJSON{
			Check: f.Check, Verdict: f.Verdict, Found: f.Found, Why: f.Why, Problems: []problemJSON{}, Blocks: []doctor.Name{},
			BlockedBy: f.BlockedBy, ExitCode: f.Code(), Took: f.Took.Milliseconds(),
		}
		one.Blocks = append(one.Blocks, f.Blocks...)
		for _, p := range f.Problems {
			one.Problems = append(one.Problems, problemJSON{p.Cause.Name, p.What, p.Fix})
		}
		shown.Checks = append(shown.Checks, one)
	}
	return term.PrintJSON(w, shown)
}
