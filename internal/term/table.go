// Package term prints for people: tables, progress, and text that cannot control a
// terminal. Only commands import it.
package term

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Table prints aligned columns. Flush writes them.
type Table struct{ *tabwriter.Writer }

// NewTable begins a table with a header line. Without a header there is none.
func NewTable(w io.Writer, header ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(header) > 0 {
		t.Row(header...)
	}
	return t
}

// Row adds a line. Cells may hold anything that people typed: each is made safe, so
// that none breaks the table. An empty cell shows as "-".
func (t *Table) Row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		cells[i] = Safe(cell)
	}
	fmt.Fprintln(t.Writer, strings.Join(cells, "\t"))
}

// Safe is a text on one line. Control characters, and those that change the writing
// direction, become "?": a server's message or an agent's name must not control a
// terminal, or make another line look like its own.
func Safe(s string) string { return strings.Map(safeRune, s) }

// SafeLines is Safe for a text of several lines, which may be indented with tabs.
func SafeLines(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return c
		}
		return safeRune(c)
	}, s)
}

func safeRune(c rune) rune {
	if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
		return '?'
	}
	return c
}
