package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// summary is the result of all cells.
type summary struct {
	verdicts []verdict
	took     time.Duration
	jobs     int
	replayed int // cells that failed among others, and were played again alone
}

// mostReplays limits how many cells are played again: more failures are not random.
const mostReplays = 20

// replay plays failed cells again, one after the other. Where hundreds of processes compete
// for two cores, a cell may take too long only because of the other cells.
func (s *summary) replay(t *suite, report func(verdict)) {
	if s.count("red") > mostReplays {
		return
	}
	for i, v := range s.verdicts {
		if !v.Red() {
			continue
		}
		f, err := t.perform(len(s.verdicts)+i, v.Cell)
		s.verdicts[i] = judge(v.Cell, f, err)
		report(s.verdicts[i])
		s.replayed++
	}
}

func (s summary) count(word string) (n int) {
	for _, v := range s.verdicts {
		if v.Word() == word {
			n++
		}
	}
	return n
}

func (s summary) print(w io.Writer) {
	fmt.Fprintf(w, "%d cells in %v: %d passed, %d named, %d red\n",
		len(s.verdicts), s.took.Round(time.Second), s.count("passed"), s.count("named"), s.count("red"))
}

// write replaces the vandal's part of the page at path.
func (s summary) write(path string) error { return launch.FillIn(path, "vandal", s.part()) }

func (s summary) part() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## The vandal\n\nWritten by `make vandal`; do not edit.\n\n")
	fmt.Fprintf(&b, "A job is other people's code. These jobs attack azptend's availability: %d attacks, each in all forms and columns, "+
		"are %d cells. They ran on %s in %s, %d at once, each with a real azptend, the fake agent, its own emulator "+
		"and a grace period of %v.\n\n",
		len(attacks()), len(s.verdicts), time.Now().UTC().Format(time.DateOnly), s.took.Round(time.Second), s.jobs, grace)
	fmt.Fprintf(&b, "**%d passed, in %d an agent stays and is named or left to a keeper, %d failed.**\n\n", s.count("passed"), s.count("named"), s.count("red"))
	b.WriteString("In each cell, by the emulator's records, /proc and the exit code:\n\n")
	for _, p := range properties() {
		fmt.Fprintf(&b, "- %s: %s\n", p.Name, p.What)
	}
	fmt.Fprintf(&b, "\nazptend may exit %v late, because all cells share the machine. "+
		"An agent that stays is one that azptend could not remove in time and names in its log, or the agent of an azptend that was killed, "+
		"if the next start refuses the directory. A keeper removes that one.\n\n", margin)
	if s.replayed > 0 {
		fmt.Fprintf(&b, "%d cells failed while %d ran at once, and ran again alone. The second result counts.\n\n", s.replayed, s.jobs)
	}
	s.table(&b)
	b.WriteString("| when | what happens |\n|---|---|\n")
	for _, m := range moments() {
		fmt.Fprintf(&b, "| %s | %s |\n", m.name, m.what)
	}
	fmt.Fprintf(&b, "\nThe machine: %s.\n\n", process.Machine())
	return b.String()
}

// table has a row for each attack.
func (s summary) table(b *strings.Builder) {
	fmt.Fprintf(b, "| a job … | because | in the forms | when | %s |\n|---|---|---|---|%s\n",
		strings.Join(columns(), " | "), strings.Repeat("---|", len(columns())))
	for _, a := range attacks() {
		b.WriteString(a.row())
		for _, column := range columns() {
			fmt.Fprintf(b, " %s |", s.tally(a, column))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// row returns the start of an attack's row.
func (a attack) row() string {
	return fmt.Sprintf("| %s | %s | %s | %s |", a.what, a.why, strings.Join(a.forms, ", "), a.when)
}

// tally counts the results of an attack's forms in a column.
func (s summary) tally(a attack, column string) string {
	counts := map[string]int{}
	for _, v := range s.verdicts {
		if v.Cell.attack.name == a.name && v.Cell.column == column {
			counts[v.Word()]++
		}
	}
	var parts []string
	for _, part := range []struct{ word, text string }{{"passed", "%d passed"}, {"named", "%d named"}, {"red", "**%d failed**"}} {
		if n := counts[part.word]; n > 0 {
			parts = append(parts, fmt.Sprintf(part.text, n))
		}
	}
	return strings.Join(parts, ", ")
}
