package term_test

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/term"
)

func TestTableIsSafe(t *testing.T) {
	var b bytes.Buffer
	table := term.NewTable(&b, "NAME", "STATE")
	table.Row("evil\x1b[2J\u009b2J\r\u202egnp\u2066x", "on\tline")
	table.Row("", "idle")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "NAME                STATE\nevil?[2J?2J??gnp?x  on?line\n-                   idle\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestSafeLinesKeepsLinesAndTabs(t *testing.T) {
	if got, want := term.SafeLines("a\x1b\n\thint: b\r"), "a?\n\thint: b?"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := term.NewProgress(&b, true, "looking")
		p.Say("1 of 3") // too soon: it is shown later
		time.Sleep(2 * time.Second)
		synctest.Wait()
		p.Say("2 of 3")
		p.Say("3 of 3") // too soon
		p.End()
		p.Say("4 of 3") // after End
		if want := "\r\x1b[K1 of 3\r\x1b[K2 of 3\r\x1b[K"; b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}

		b.Reset()
		p = term.NewProgress(&b, false, "looking")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		p.Say("1 of 3")
		p.End()
		if b.Len() > 0 {
			t.Errorf("%q is shown without a terminal", b.String())
		}
	})
}

func TestDevNullIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if term.IsTerminal(null) {
		t.Error("nobody looks at it")
	}
}
