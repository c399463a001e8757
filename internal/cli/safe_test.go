package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/setup"
	"github.com/azptend/azptend/internal/term"
)

// orders are control characters in a name: to clear the screen, to move the cursor, and to write
// from right to left.
const orders = "evil\x1b[2J\u009b2J\r\u202egnp\u2066x"

func checkSafe(t *testing.T, what, shown string) {
	t.Helper()
	if !strings.Contains(shown, "evil") {
		t.Fatalf("%s: %q does not show the name at all", what, shown)
	}
	if term.SafeLines(shown) != shown {
		t.Errorf("%s: a terminal would obey %q", what, shown)
	}
}

func TestNamesCannotControlATerminal(t *testing.T) {
	var b bytes.Buffer
	(&doctorPrinter{out: &b}).printFinding(doctor.Finding{Check: doctor.Queue, Verdict: doctor.Warning, Found: orders, Problems: []doctor.Problem{{What: "a job waits: " + orders, Fix: orders}}})
	checkSafe(t, "the doctor", b.String())

	b.Reset()
	Process{settings: &config.Settings{}}.complain(&b, &azdo.Error{Op: "look", Status: 400, Message: orders})
	checkSafe(t, "an error", b.String())

	b.Reset()
	tell := setupPrinter{s: config.Settings{URL: "http://x/y"}, out: &term.Output{W: &b}}
	tell.printPlan(setup.State{Caller: azdo.User{Name: orders}}, setup.Plan{Notes: []string{orders}, Steps: []setup.Step{{What: orders}}})
	checkSafe(t, "setup", b.String())
}

func TestAnErrorKeepsItsLines(t *testing.T) {
	var b bytes.Buffer
	Process{settings: &config.Settings{}}.complain(&b, errors.New("cannot do it\nhint: do\tthat"))
	if want := "azptend: cannot do it\nhint: do\tthat\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// TestUndoCommandCanBePasted: the command that undoes a setup is quoted for a shell, whatever the
// names of organisation, pool and project are.
func TestUndoCommandCanBePasted(t *testing.T) {
	tell := &setupPrinter{s: config.Settings{URL: "https://dev.azure.com/x y", Pool: "it's $(mine)"}}
	tell.f.spec = setup.Spec{Identity: "id", Project: "Größe"}
	want := `azptend setup --remove --apply --url 'https://dev.azure.com/x y' --identity id --pool 'it'\''s $(mine)' --project 'Größe'`
	if got := tell.undoCommand(); got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
}
