package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/internal/cells"
	"github.com/azptend/azptend/test/internal/fault"
)

// TestVandal plays the short set, and not beside TestFaults, which compiles. make vandal
// plays all cells.
func TestVandal(t *testing.T) {
	suite, err := newSuite(programs, vandalProgram)
	if err != nil {
		t.Fatal(err)
	}
	defer suite.close()
	var cells []cell
	for _, c := range shortSet() {
		if why := c.impossible(); why != "" {
			t.Logf("not played: %s: %s", c, why)
			continue
		}
		cells = append(cells, c)
	}
	if len(cells) == 0 {
		t.Fatal("no cell can be played")
	}
	for _, v := range suite.playAll(cells, *cellsAtOnce, func(int, verdict) {}) {
		if v.Red() {
			t.Errorf("%s\nazptend said:\n%s", v, v.Facts.output)
		}
	}
}

// TestEachAttackHasCode checks that the list and attackCode agree.
func TestEachAttackHasCode(t *testing.T) {
	known := map[string]bool{}
	for _, a := range attacks() {
		if attackCode[a.name] == nil {
			t.Errorf("nothing plays %q", a.name)
		}
		if known[a.name] {
			t.Errorf("%q is in the list twice", a.name)
		}
		if a.what == "" || a.why == "" {
			t.Errorf("%q has no reason", a.name)
		}
		known[a.name] = true
	}
	for name := range attackCode {
		if !known[name] {
			t.Errorf("%q is not in the list", name)
		}
	}
}

// TestPageHasEachAttack checks that docs/reliability.md has the row of each attack.
func TestPageHasEachAttack(t *testing.T) {
	b, err := os.ReadFile("../../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks() {
		if row := a.row(); !strings.Contains(string(b), row) {
			t.Errorf("docs/reliability.md has no row %q; make vandal writes it", row)
		}
	}
}

// TestShortSetHasEachMoment checks that the short set has each moment and each column.
func TestShortSetHasEachMoment(t *testing.T) {
	for _, m := range moments() {
		if !slices.ContainsFunc(shortSet(), func(c cell) bool { return c.attack.when == m.name }) {
			t.Errorf("no cell of the short set is of the moment %q", m.name)
		}
	}
	for _, column := range columns() {
		if !slices.ContainsFunc(shortSet(), func(c cell) bool { return c.column == column }) {
			t.Errorf("no cell of the short set is of the column %q", column)
		}
	}
}

// TestEachPropertyCanGoRed checks that each property finds a violation.
func TestEachPropertyCanGoRed(t *testing.T) {
	c := cell{attack: attack{name: "an attack", when: busy}, column: sameUser}
	good := runResult{over: true, asked: true, took: grace, peak: 20 << 10}
	if v := judge(c, facts{runs: []runResult{good}}, nil); v.Red() {
		t.Errorf("a good cell is red: %s", v)
	}
	for _, tt := range []struct {
		property string
		facts    facts
	}{
		{"azptend ends in time", facts{runs: []runResult{{asked: true}}}},
		{"azptend ends in time", facts{runs: []runResult{{over: true, asked: true, took: grace + margin + 1}}}},
		{"the exit code is right", facts{runs: []runResult{{over: true, code: 2}}}},
		{"no ghost", facts{runs: []runResult{good}, agents: []int{7}, unnamed: cells.Unnamed([]int{7}, "", named)}},
		{"memory is bounded", facts{runs: []runResult{{over: true, peak: mostMemory + 1}}}},
		{"descriptors are bounded", facts{runs: []runResult{good}, descriptors: mostDescriptors + 1}},
		{"other jobs succeed", facts{runs: []runResult{good}, failedJobs: []string{"job 1 is abandoned"}}},
		{"no process stays", facts{runs: []runResult{good}, left: map[int]string{1: "sleep"}}},
		{"nothing else is touched", facts{runs: []runResult{good}, victim: "nothing"}},
		{"nothing else is touched", facts{runs: []runResult{good}, checked: "healthcheck fails"}},
	} {
		if v := judge(c, tt.facts, nil); v.Broken[tt.property] == "" {
			t.Errorf("%q is not red with %+v", tt.property, tt.facts)
		}
	}
	line := `time=x level=ERROR msg="Cannot remove the agent: it may stay in its pool" agent=cell agent_id=7 pool=Default pool_id=1 error=x remove_with="az devops invoke"`
	if left := cells.Unnamed([]int{7, 8}, line, named); !slices.Equal(left, []int{8}) {
		t.Errorf("of agents 7 and 8, of which the log names 7, %v count as not named", left)
	}
}

// TestFaults removes guards of azptend, and expects that their cells fail. make
// vandal-faults does it with all of them.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		if !f.short {
			continue
		}
		t.Run(f.Guard, func(t *testing.T) {
			t.Parallel()
			played, green, err := f.play("../../..", programs.Lab, vandalProgram, *cellsAtOnce)
			if err != nil {
				t.Fatal(err)
			}
			if played == 0 {
				t.Skip("this machine can play none of its cells")
			}
			for _, v := range green {
				t.Errorf("without %s this cell is green all the same: %s\nazptend said:\n%s", f.Guard, v, v.Facts.output)
			}
		})
	}
}

// TestFaultsFit checks that each fault fits the source.
func TestFaultsFit(t *testing.T) {
	for _, f := range faults() {
		if _, err := f.Overlay("../../..", t.TempDir()); err != nil {
			t.Error(err)
		}
		matched := false
		for _, c := range allCells() {
			matched = matched || regexp.MustCompile(f.cells).MatchString(c.String())
		}
		if !matched {
			t.Errorf("the fault %q has no cell", f.Guard)
		}
	}
	gone := fault.New("of another source", fault.Replace("cmd/azptend/main.go", "there is no such text", ""))
	if _, err := gone.Overlay("../../..", t.TempDir()); err == nil {
		t.Error("a fault that does not fit is not noticed")
	}
}

// TestShortSetIsThere checks that each name in the short set is the name of a cell.
func TestShortSetIsThere(t *testing.T) {
	names := map[string]bool{}
	for _, c := range allCells() {
		names[c.String()] = true
	}
	for _, name := range short {
		if !names[name] {
			t.Errorf("there is no cell %q", name)
		}
	}
}
