package main

import "strings"

// A page is a head and sections, each of which is written by its own measurement
// and left alone by the others'.

const sectionMark = "\n<!-- measured: "

func begins(name string) string { return sectionMark + name + " -->\n" }
func ends(name string) string   { return "<!-- end of " + name + " -->\n" }

// withSection is a page with a section put in place of the one of its name, or at
// the end.
func withSection(page, name, text string) string {
	whole := begins(name) + strings.TrimRight(text, "\n") + "\n" + ends(name)
	before, rest, found := strings.Cut(page, begins(name))
	if !found {
		return strings.TrimRight(page, "\n") + "\n" + whole
	}
	_, after, _ := strings.Cut(rest, ends(name))
	return before + whole + after
}

// withHead is a page with another head.
func withHead(page, head string) string {
	head = strings.TrimRight(head, "\n") + "\n"
	if at := strings.Index(page, sectionMark); at >= 0 {
		return head + page[at:]
	}
	return head
}
