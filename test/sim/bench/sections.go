package main

import "strings"

// A page is a head and sections. Each measurement writes only its own section.

const sectionMark = "\n<!-- measured: "

func beginMark(name string) string { return sectionMark + name + " -->\n" }
func endMark(name string) string   { return "<!-- end of " + name + " -->\n" }

// withSection returns the page with a section replaced, or added at the end.
func withSection(page, name, text string) string {
	whole := beginMark(name) + strings.TrimRight(text, "\n") + "\n" + endMark(name)
	before, rest, found := strings.Cut(page, beginMark(name))
	if !found {
		return strings.TrimRight(page, "\n") + "\n" + whole
	}
	_, after, _ := strings.Cut(rest, endMark(name))
	return before + whole + after
}

// withHead returns the page with another head.
func withHead(page, head string) string {
	head = strings.TrimRight(head, "\n") + "\n"
	if at := strings.Index(page, sectionMark); at >= 0 {
		return head + page[at:]
	}
	return head
}
