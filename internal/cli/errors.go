package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/setup"
	"github.com/azptend/azptend/internal/term"
)

// The rules for error messages:
//
//   - on standard error, with the prefix "azptend: "
//   - "cannot X: why", in lower case and without a period at the end
//   - then a line "hint: " with what to do, if that is known
//   - they name the variable or flag, and contain no secrets

// complain prints an error and returns its exit code. Only this function prints errors.
func (p Process) complain(w io.Writer, err error) int {
	var coded *exitcode.Error
	if said := errors.As(err, &coded) && coded.Err == nil; err != nil && !said {
		p.printError(w, err)
	}
	return exitcode.Of(err)
}

func (p Process) printError(w io.Writer, err error) {
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		if invalid.LogFormat == "json" || p.logsJSON() {
			logProblems(w, invalid.Problems)
			return
		}
		printProblems(w, invalid.Problems)
		return
	}
	hint := p.hintFor(err)
	if p.logsJSON() {
		newLog(w, *p.settings).Error("Command failed", "error", err, "hint", hint)
		return
	}
	fmt.Fprintln(w, term.SafeLines("azptend: "+err.Error()))
	if hint != "" {
		fmt.Fprintln(w, term.SafeLines("hint: "+hint))
	}
}

// printText prints an error with its hint, unless the log format is json: then it returns
// false, and the caller logs the error.
func (p Process) printText(err error) bool {
	if p.logsJSON() {
		return false
	}
	p.printError(p.redactor.Writer(p.errors), err)
	return true
}

// diagnose looks for the cause of a failure until ctx ends.
func (p Process) diagnose(ctx context.Context, err error) error {
	s := *p.settings
	return doctor.Diagnose(ctx, doctor.NewRemoteEnvironment(s, newWebClient(s), slog.New(slog.DiscardHandler), p.redactor), err)
}

// remark prints what a person may want to know besides the result of a command. For a
// program it is a line of the log.
func (p Process) remark(level slog.Level, what, hint string) {
	if p.logsJSON() {
		s := *p.settings
		s.LogLevel = min(s.LogLevel, level) // it is printed at each level of the log, as text is
		log := newLog(p.redactor.Writer(p.errors), s)
		if hint != "" {
			log = log.With("hint", hint)
		}
		log.Log(context.Background(), level, what)
		return
	}
	if level == slog.LevelWarn {
		what = "azptend: warning: " + what
	}
	fmt.Fprintln(p.Stderr, term.SafeLines(what))
	if hint != "" {
		fmt.Fprintln(p.Stderr, term.SafeLines("hint: "+hint))
	}
}

// note is remark for what is worth no warning.
func (p Process) note(format string, args ...any) {
	p.remark(slog.LevelInfo, fmt.Sprintf(format, args...), "")
}

// showsProgress says that a line on standard error may change.
func (p Process) showsProgress() bool { return term.IsTerminal(p.Stderr) && !p.logsJSON() }

// logsJSON says whether all lines on standard error are JSON.
func (p Process) logsJSON() bool { return p.settings.LogFormat == "json" }

// logProblems is printProblems for the log format json: it logs a line for each problem.
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

// hintFor is the hint for an error; "" if there is none. It tries the error's own hint first,
// and the doctor's table of causes, with the identity in the settings, last.
func (p Process) hintFor(err error) string {
	var dir *agentdir.DirError
	var hinter interface{ Hint() string }
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files (ulimit -n, or LimitNOFILE= in systemd): azptend needs about 64, and jobs need more"
	case errors.Is(err, errAbandoned):
		return "check the mounts of AZP_AGENT_DIR, AZP_AGENT_ROOT, AZP_TOKEN_FILE and AZP_CA_FILE"
	case errors.As(err, &dir):
		return dir.Hint
	case errors.As(err, &hinter) && hinter.Hint() != "":
		return hinter.Hint()
	case errors.Is(err, setup.ErrSelf):
		return "run it as an administrator: with --auth azure-cli after `az login`, or with --auth pat and a personal access token in AZP_TOKEN"
	case errors.Is(err, azdo.ErrAzureDevOpsServer):
		return "set AZP_TOKEN to a personal access token: Azure DevOps Server accepts no Entra identities"
	}
	if hint := agentHint(err); hint != "" {
		return hint
	}
	return doctor.Hint(err, *p.settings)
}
