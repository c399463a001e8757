package main

import (
	"fmt"
	"os"
	"slices"
)

// columns returns the ways in which azptend runs.
func columns() []string { return []string{sameUser, otherUser, three, registered} }

// cell is one attack in one form and one column.
type cell struct {
	attack attack
	form   string // "" where the attack has only one
	column string
}

func (c cell) String() string {
	if c.form == "" {
		return fmt.Sprintf("%s × %s", c.attack.name, c.column)
	}
	return fmt.Sprintf("%s: %s × %s", c.attack.name, c.form, c.column)
}

// allCells returns every cell.
func allCells() []cell {
	var all []cell
	for _, a := range attacks() {
		for _, form := range a.allForms() {
			for _, column := range columns() {
				if a.in(column) {
					all = append(all, cell{a, form, column})
				}
			}
		}
	}
	return all
}

func (a attack) allForms() []string {
	if a.forms == nil {
		return []string{""}
	}
	return a.forms
}

func (a attack) in(column string) bool { return a.columns == nil || slices.Contains(a.columns, column) }

// runAs reports whether jobs run as another user than azptend.
func (c cell) runAs() bool { return c.column == otherUser || c.column == three }

// external reports whether something else registers the agent; azptend does not remove it
// then.
func (c cell) external() bool { return c.column == registered }

// impossible returns why this machine cannot play a cell, or "".
func (c cell) impossible() string {
	root := os.Getuid() == 0
	switch {
	case c.runAs() && !root:
		return "only root can run jobs as another user"
	case c.attack.needs == disk && !root:
		return "only root can mount a small file system"
	case c.attack.needs == pids && !canLimitPids():
		return "no pids cgroup can be made in " + pidsGroup
	}
	return ""
}
