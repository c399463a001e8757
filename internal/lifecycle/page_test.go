package lifecycle

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// This file compares docs/how-it-works.md with this package: the diagram of the phases
// with what random runs do, times and budget with the constants.
// test/repository/howitworks_test.go checks its names and log lines.

func readPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/how-it-works.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// phaseChange is a change of the phase: an arrow in the diagram, or one step of a run.
type phaseChange struct{ from, to Phase }

func (m phaseChange) String() string { return string(m.from) + " --> " + string(m.to) }

var arrow = regexp.MustCompile(`(?m)^  ([a-z]+) --> ([a-z]+)(?:: .+)?$`)

// diagramArrows are the arrows of the page's diagram.
func diagramArrows(page string) []phaseChange {
	_, diagram, _ := strings.Cut(page, "stateDiagram-v2\n")
	diagram, _, _ = strings.Cut(diagram, "```")
	var moves []phaseChange
	for _, m := range arrow.FindAllStringSubmatch(diagram, -1) {
		moves = append(moves, phaseChange{Phase(m[1]), Phase(m[2])})
	}
	return moves
}

// wrongDiagram says where a diagram differs from the seen changes. One step may pass
// through several of the phases Draining, Removing and Stopping. Each arrow must also
// have been a step of its own.
func wrongDiagram(drawn []phaseChange, seen map[phaseChange]bool) []string {
	var why []string
	for m := range seen {
		if !reachable(drawn, m.from, m.to, nil) {
			why = append(why, fmt.Sprintf("%v happens, and is not drawn", m))
		}
	}
	for _, m := range drawn {
		if !seen[m] {
			why = append(why, fmt.Sprintf("%v is drawn, and never happens", m))
		}
	}
	slices.Sort(why)
	return why
}

// reachable says that an arrow leads from one phase to the other, or several arrows
// through Draining, Removing or Stopping.
func reachable(drawn []phaseChange, from, to Phase, been []Phase) bool {
	for _, m := range drawn {
		if m.from != from {
			continue
		}
		passing := m.to == Draining || m.to == Removing || m.to == Stopping
		if m.to == to || passing && !slices.Contains(been, m.to) && reachable(drawn, m.to, to, append(been, m.to)) {
			return true
		}
	}
	return false
}

// phaseChanges adds the phase changes of a run to seen.
func (w *simulation) phaseChanges(seen map[phaseChange]bool) {
	at := Booting
	for _, s := range w.states {
		if s.Phase != at {
			seen[phaseChange{at, s.Phase}] = true
		}
		at = s.Phase
	}
}

// TestWrongDiagram checks that wrongDiagram finds a missing and a wrong arrow.
func TestWrongDiagram(t *testing.T) {
	diagram := diagramArrows(readPage(t))
	seen := map[phaseChange]bool{}
	for _, m := range diagram {
		seen[m] = true
	}
	seen[phaseChange{Idle, Stopping}] = true // through draining
	if why := wrongDiagram(diagram, seen); len(why) > 0 || len(diagram) == 0 {
		t.Fatalf("%d arrows: %v", len(diagram), why)
	}
	for _, m := range []phaseChange{{Draining, Idle}, {Gone, Booting}, {Booting, Idle}, {Removing, Busy}, {Idle, Registering}} {
		want := fmt.Sprintf("%v happens, and is not drawn", m)
		if m == (phaseChange{Idle, Registering}) {
			want = "" // through removing
		}
		seen[m] = true
		if got := strings.Join(wrongDiagram(diagram, seen), ", "); got != want {
			t.Errorf("%v: got %q, want %q", m, got, want)
		}
		delete(seen, m)
	}
	for _, m := range diagram {
		delete(seen, m)
		if got, want := strings.Join(wrongDiagram(diagram, seen), ", "), fmt.Sprintf("%v is drawn, and never happens", m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		seen[m] = true
	}
}

// TestThePagesTimes checks that the page has the values of the constants.
func TestThePagesTimes(t *testing.T) {
	text := readPage(t)
	for _, tt := range []struct {
		sentence string
		constant time.Duration
	}{
		{"azptend retries for %s if no server answers", bootTimeout},
		{"counts only %s after the loss", latePostWindow},
		{"must both show no job for %s", idleConfirmTime},
		{"One that comes within %s of the one before is the same", secondInterruptAfter},
		{"registers again after %s", reregisterPause},
		{"azptend retries a failed call after %s", minRetryPause},
		{"at most %s, or after the server's Retry-After", maxRetryPause},
		{"waits at most %s for each", callTimeout},
		{"retries a removal for %s", removeTimeout},
		{"starts a listener again and again for %s", sessionTimeout},
		{"for up to %s if the server throttles", throttleTimeout},
	} {
		if want := fmt.Sprintf(tt.sentence, pageDuration(tt.constant)); !strings.Contains(text, want) {
			t.Errorf("docs/how-it-works.md does not say %q", want)
		}
	}
	if maxReregistrations != 5 || maxRestarts != 5 || reregisterWindow != time.Hour {
		t.Error("docs/how-it-works.md says that five times an hour, and five times, is the most")
	}
}

// pageDuration is a duration as the page writes it.
func pageDuration(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

var budgetRow = regexp.MustCompile(`(?m)^\| ([\d. ms]+) \| ([\d. ms]+) \| ([\d. ms]+) \| ([\d. ms]+) \| ([\d. ms]+|at once) \| ([\d. ms]+) \| ([\d. ms]+) \|$`)

// TestThePagesBudget checks each row of the page's table of budgets.
func TestThePagesBudget(t *testing.T) {
	rows := budgetRow.FindAllStringSubmatch(readPage(t), -1)
	if len(rows) < 2 {
		t.Fatal("docs/how-it-works.md has no table of the budget")
	}
	for _, row := range rows {
		var cells []time.Duration
		for _, cell := range row[1:] {
			d, err := time.ParseDuration(strings.ReplaceAll(strings.Replace(cell, "at once", "0s", 1), " ", ""))
			if err != nil {
				t.Fatalf("%s: %v", row[0], err)
			}
			cells = append(cells, d)
		}
		s := New(Policy{Grace: cells[0]})
		s.drain.graceStartedAt = began
		b := s.Budget
		want := []time.Duration{cells[0], b.Drain, b.Stop, b.Remove, s.lastDrainMoment().Sub(began), s.stopDeadline().Sub(began), s.exitDeadline().Sub(began)}
		if !slices.Equal(cells, want) {
			t.Errorf("%s: want %v", row[0], want)
		}
	}
}
