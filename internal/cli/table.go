package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// table is what a person gets where a program gets --json: aligned columns.
type table struct {
	w *tabwriter.Writer
}

// newTable begins a table with its header; none for a list of facts.
func newTable(w io.Writer, header ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(header) > 0 {
		t.row(header...)
	}
	return t
}

// row adds a line. What servers and people called things may hold anything: a
// line's end or a tab in it would break the table, and an escape the terminal.
func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		cells[i] = plainly(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// plainly is anybody's words on one line, with nothing in them that a terminal
// obeys.
func plainly(s string) string { return strings.Map(printable, s) }

// printable leaves out what a terminal takes for an order, and what turns the
// direction of writing round: a name could make another of the line it stands in.
func printable(c rune) rune {
	if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
		return '?'
	}
	return c
}

// printJSON is a command's --json: one indented value.
func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
