package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/azptend/azptend/internal/config"
)

// The rules of the voice, for everything this program says when it fails:
//
//   - on standard error, with the prefix "azptend: "
//   - "cannot X: why", in lower case and without a period at the end
//   - then a line "hint: " with what to do, wherever we know
//   - the variable or flag is named; a secret never is

// The exit codes that a command chooses itself; `run` has the table's.
const (
	exitUsage       = 64
	exitUnavailable = 69
	exitFault       = 70
	exitInterrupted = 130
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Usage gives an error the exit code of a command line or setting that is wrong.
func Usage(err error) error { return &exitError{exitUsage, err} }

// Interrupted gives an error the exit code of a command that Ctrl-C ended.
func Interrupted(err error) error { return &exitError{exitInterrupted, err} }

// silent is an exit code that needs no words: they were said.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// complain prints an error and returns the exit code for it. It is the only
// printer of errors.
func complain(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	printError(w, err)
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFault
}

func printError(w io.Writer, err error) {
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		if invalid.LogFormat == "json" {
			logProblems(w, invalid.Problems)
			return
		}
		printProblems(w, invalid.Problems)
		return
	}
	printLines(w, "azptend: "+err.Error())
	if hint := hintFor(err); hint != "" {
		printLines(w, "hint: "+hint)
	}
}

// printLines prints a text of ours, in which may stand the words of a server, and
// what people called their agents: a terminal must not obey those.
func printLines(w io.Writer, text string) {
	fmt.Fprintln(w, strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' { // cobra indents what it suggests
			return c
		}
		return printable(c)
	}, text))
}

// logProblems is printProblems for who reads standard error by machine: a line of
// the log each, as all the lines that would have followed.
func logProblems(w io.Writer, problems []config.Problem) {
	log := newLog(w, config.Settings{LogFormat: "json"})
	for _, p := range problems {
		log.Error("Cannot use the settings", "error", p.What, "hint", p.Hint)
	}
}

func printProblems(w io.Writer, problems []config.Problem) {
	if len(problems) > 1 {
		fmt.Fprintf(w, "azptend: cannot use the settings: %d problems\n", len(problems))
	}
	for _, p := range problems {
		prefix := "  "
		if len(problems) == 1 {
			prefix = "azptend: cannot use the settings: "
		}
		fmt.Fprintf(w, "%s%s\n", prefix, p.What)
		if p.Hint != "" {
			fmt.Fprintf(w, "%shint: %s\n", strings.Repeat(" ", min(2*(len(problems)-1), 2)), p.Hint)
		}
	}
}
