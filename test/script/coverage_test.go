package script

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
)

// A script says in a line of its head what it shows of docs/configuration.md and docs/exit-codes.md:
//
//	# shows: AZP_ONCE, exit 75
//
// A setting is named by its variable, and the script sets the variable or its flag. 128+n stands
// for any such code except 130. The rules below check that the line is true. A row that no script
// shows is a failure.

// shown is a row that a script claims to show.
type shown struct{ script, what string }

func TestEveryRowHasAScript(t *testing.T) {
	rows := settingsAndCodes()
	var all []shown
	for _, s := range readScripts(t) {
		for _, what := range s.shows {
			if !slices.Contains(rows, what) {
				t.Errorf("%s says that it shows %q, which is no row of a table", s.name, what)
				continue
			}
			if why := s.dishonest(what); why != "" {
				t.Errorf("%s says that it shows %s, and %s", s.name, what, why)
				continue
			}
			all = append(all, shown{s.name, what})
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(all, func(s shown) bool { return s.what == row }) {
			t.Errorf("no script shows %s: write one in testdata, with a line \"# shows: %s\"", row, row)
		}
	}
}

// settingsAndCodes are the rows of both tables, with the names that scripts use.
func settingsAndCodes() []string {
	var rows []string
	for _, row := range config.Table {
		rows = append(rows, row.Env)
	}
	for _, row := range exitcode.Table() {
		for code := range strings.SplitSeq(row.Code, ", ") {
			rows = append(rows, "exit "+code)
		}
		if strings.Contains(row.When, "130") {
			rows = append(rows, "exit 130")
		}
	}
	return rows
}

// script is a script without its files: what it claims to show, and its lines without comments.
type script struct {
	name  string
	shows []string
	lines []string
}

func readScripts(t *testing.T) []script {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var scripts []script
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, parseScript(filepath.Base(file), string(b)))
	}
	return scripts
}

func parseScript(name, text string) script {
	s := script{name: name}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-- ") && strings.HasSuffix(line, " --") {
			break
		}
		if what, is := strings.CutPrefix(line, "# shows: "); is {
			s.shows = append(s.shows, strings.Split(what, ", ")...)
		} else if line != "" && !strings.HasPrefix(line, "#") {
			s.lines = append(s.lines, line)
		}
	}
	return s
}

// observing are the commands with which a script checks what azptend did.
var observing = regexp.MustCompile(`^(! )?(await|ends|grep|stdout|stderr|exists|job|joblog|pool|calls|says|keeps|sees|remain) `)

// starting are commands that start azptend with settings. running are commands that start azptend
// run, whose exit codes the table has.
var (
	starting = regexp.MustCompile(`^(?:! )?(?:start \S+|exec) .*\bazptend ([a-z]+)(?: ([a-z]+))?`)
	running  = regexp.MustCompile(`^(! )?(start \S+|exec) .*\bazptend run\b`)
)

// starts reports whether a line starts a command of azptend that takes the setting, according to
// its help. The help also lists the secrets that the command takes, which have no flag.
func starts(line, env string) bool {
	command := starting.FindStringSubmatch(line)
	if command == nil {
		return false
	}
	for _, name := range []string{command[1] + "-" + command[2], command[1]} {
		help, err := os.ReadFile("../../internal/lab/testdata/help/azptend-" + name + ".txt")
		if err == nil {
			return regexp.MustCompile(`\b` + env + `\b`).Match(help)
		}
	}
	return false
}

// dishonest says why a script does not show what it claims.
func (s script) dishonest(what string) string {
	if code, is := strings.CutPrefix(what, "exit "); is {
		return s.dishonestCode(code)
	}
	return s.dishonestSetting(what)
}

func (s script) dishonestCode(code string) string {
	for _, line := range s.lines {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "ends" || !s.runs(fields[1]) || s.kills(fields[1]) {
			continue
		}
		got, err := strconv.Atoi(fields[2])
		if fields[2] == code || (code == "128+n" && err == nil && got > 128 && got != 130) {
			return ""
		}
	}
	return fmt.Sprintf("has no line \"ends NAME %s\" for an azptend run that it started", code)
}

// runs says whether an process is azptend run.
func (s script) runs(actor string) bool {
	return slices.ContainsFunc(s.lines, func(line string) bool {
		return strings.HasPrefix(line, "start "+actor+" ") && running.MatchString(line)
	})
}

// kills says whether a script kills an process: then its exit code is not azptend's.
func (s script) kills(actor string) bool { return slices.Contains(s.lines, "signal KILL "+actor) }

// dishonestSetting checks that a script sets the setting, starts azptend with it, and checks
// something afterwards.
func (s script) dishonestSetting(env string) string {
	var flag string
	for _, row := range config.Table {
		if row.Env == env {
			flag = row.Flag
		}
	}
	set, started := false, false
	for _, line := range s.lines {
		value, byEnv := strings.CutPrefix(line, "env "+env+"=")
		byFlag := flag != "" && starts(line, env) && regexp.MustCompile(` --`+regexp.QuoteMeta(flag)+`(\s|=|$)`).MatchString(line)
		switch {
		case byEnv && value != "", strings.HasPrefix(line, "pat ") && env == "AZP_TOKEN":
			set, started = true, false
		case byEnv && !started: // unset before azptend was started
			set = false
		case byFlag:
			set, started = true, true
		case set && starts(line, env):
			started = true
		case started && observing.MatchString(line):
			return ""
		}
	}
	switch {
	case !set:
		return "does not set it"
	case !started:
		return "does not start azptend with it"
	}
	return "looks at nothing afterwards"
}

// TestShowsRules shows that each rule finds a fault.
func TestShowsRules(t *testing.T) {
	for _, tt := range []struct{ script, what, why string }{
		{"env AZP_ONCE=1\nstart a azptend run\nends a 0", "AZP_ONCE", ""},
		{"start a azptend run --once\nends a 0", "AZP_ONCE", ""},
		{"start a azptend run --pool-id=1\nends a 0", "AZP_POOL_ID", ""},
		{"start a azptend run --pool-id=1\nends a 0", "AZP_POOL", "does not set it"},
		{"start a azptend run\nends a 0", "AZP_ONCE", "does not set it"},
		{"# env AZP_ONCE=1\nstart a azptend run\nends a 0", "AZP_ONCE", "does not set it"},
		{"env AZP_ONCE=\nstart a azptend run\nends a 0", "AZP_ONCE", "does not set it"},
		{"env AZP_ONCE=1\nenv AZP_ONCE=\nstart a azptend run\nends a 0", "AZP_ONCE", "does not set it"},
		{"env AZP_ONCE=1\nstart e azptend-lab emulate\nends e 0", "AZP_ONCE", "does not start"},
		{"start a azptend run\nenv AZP_ONCE=1\nends a 0", "AZP_ONCE", "does not start"},
		{"env AZP_ONCE=1\nexec azptend prune\nstdout ghost", "AZP_ONCE", "does not start"},
		{"env AZP_POOL=Default\nexec azptend prune\nstdout ghost", "AZP_POOL", ""},
		{"env AZP_TOKEN=x\nexec azptend agents disable a-1\nstdout disabled", "AZP_TOKEN", ""},
		{"env AZP_ONCE=1\nstart a azptend run\nsignal TERM a", "AZP_ONCE", "looks at nothing"},
		{"start a azptend run\nends a 75", "exit 75", ""},
		{"start a azptend run\nends a 75", "exit 7", "has no line"},
		{"start a azptend run\n-- x --\nends a 75", "exit 75", "has no line"},
		{"start e azptend-lab emulate\nends e 64", "exit 64", "has no line"},
		{"start a azptend run\nends a 137", "exit 128+n", ""},
		{"start a azptend run\nends a 130", "exit 128+n", "has no line"},
		{"start a azptend run\nsignal KILL a\nends a 137", "exit 128+n", "has no line"},
	} {
		why := parseScript("x", tt.script).dishonest(tt.what)
		if (tt.why == "") != (why == "") || !strings.HasPrefix(why, tt.why) {
			t.Errorf("%q shows %s: got %q, want %q", tt.script, tt.what, why, tt.why)
		}
	}
}
