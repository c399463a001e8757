// Package term prints tables and progress on a terminal, and makes text safe for it. Only
// commands import it.
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

// NewTable begins a table, with a header line if there is a header.
func NewTable(w io.Writer, header ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(header) > 0 {
		t.Row(header...)
	}
	return t
}

// Row adds a line. Each cell is made safe, because it may contain any text. An empty cell is
// shown as "-".
func (t *Table) Row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		cells[i] = Safe(cell)
	}
	fmt.Fprintln(t.Writer, strings.Join(cells, "\t"))
}

// Safe makes a text safe for one line on a terminal. Control characters, and those that change
// the writing direction, become "?": a server's message or an agent's name must not control
// the terminal, or look like another line.
func Safe(s string) string { return strings.Map(safeRune, s) }

// SafeLines is Safe for a text of several lines. It keeps newlines and tabs.
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
