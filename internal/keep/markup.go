package keep

import (
	"html"
	"strings"
)

// markup is HTML that grows. What a caller gives as text is escaped, whoever
// wrote it: agents and jobs are named by people whom a page must not obey.
// html/template would do the same, and weigh three megabytes more.
type markup struct{ b strings.Builder }

// raw adds HTML of ours.
func (m *markup) raw(s string) *markup { m.b.WriteString(s); return m }

// text adds anybody's words.
func (m *markup) text(s string) *markup { return m.raw(html.EscapeString(s)) }

// element adds an element of ours (its tag with its attributes) that holds words of
// anybody's.
func (m *markup) element(tag, text string) *markup {
	name, _, _ := strings.Cut(tag, " ")
	return m.raw("<" + tag + ">").text(text).raw("</" + name + ">")
}

func (m *markup) String() string { return m.b.String() }
