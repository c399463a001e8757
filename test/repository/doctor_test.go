package repository

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/doctor"
)

var update = flag.Bool("update", false, "write the tables of docs that tests hold")

// TestDoctorPage compares docs/doctor.md with the doctor's tables: each check, and each cause that it
// can find. `go test ./test/repository -run TestDoctorPage -update` writes them.
func TestDoctorPage(t *testing.T) {
	const file = "../../docs/doctor.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for name, want := range map[string]string{"checks": checksTable(), "causes": causesTable()} {
		begin, end := "<!-- "+name+": written by go test ./test/repository -run TestDoctorPage -update -->\n", "<!-- /"+name+" -->"
		before, rest, ok1 := strings.Cut(page, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("docs/doctor.md has no place for %s", name)
		}
		if got != want && !*update {
			t.Errorf("docs/doctor.md has of %s\n%s\nwant\n%s", name, got, want)
		}
		page = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func checksTable() string {
	var b strings.Builder
	b.WriteString("| check | why it is looked at | what has to be well before |\n|---|---|---|\n")
	for _, c := range doctor.Checks() {
		var needs []string
		for _, n := range c.Needs {
			needs = append(needs, "`"+string(n)+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Why, strings.Join(needs, ", "))
	}
	return b.String()
}

func causesTable() string {
	var b strings.Builder
	b.WriteString("| check | cause | means | verdict | what to do |\n|---|---|---|---|---|\n")
	for _, c := range doctor.Causes {
		verdict, fix := "warning", c.Fix
		if c.Verdict == doctor.Failed {
			verdict = fmt.Sprintf("failed, %d", c.Code)
		}
		if fix == "" {
			fix = "as it says"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", c.Check, c.Name, c.Means, verdict, fix)
	}
	return b.String()
}
