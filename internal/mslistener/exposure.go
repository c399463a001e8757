package mslistener

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
)

// ExposingParent is a process above azptend whose environment contains a secret that jobs
// can read. azptend can only protect its own environment.
type ExposingParent struct {
	PID       int
	Program   string
	Variables string
}

// ExposingParents finds the processes above azptend whose environment the jobs' user can
// read and contains one of azptend's secrets. Such a process is a shell, an init or a
// wrapper that has the container's environment.
func ExposingParents(user *proc.User, secrets []secret.Text) []ExposingParent {
	var found []ExposingParent
	for _, a := range proc.Ancestors(user) {
		if names := secretVariables(a.Environ, secrets); len(names) > 0 {
			found = append(found, ExposingParent{a.PID, cmp.Or(a.Program, "a program"), strings.Join(names, " ")})
		}
	}
	return found
}

// WarnExposed warns if jobs can read azptend's secrets. undumpable is why azptend could not
// make itself non-dumpable; nil if it could.
func WarnExposed(user *proc.User, secrets []secret.Text, undumpable error, log *slog.Logger) {
	if undumpable != nil {
		log.Warn("Jobs of the same user can read azptend's memory and its identity", "error", undumpable)
	} else if names := proc.CapabilitiesToInspect(); user == nil && len(names) > 0 {
		log.Warn("Jobs can read azptend's memory and its identity: they have "+strings.Join(names, ", "),
			"hint", "set AZP_RUN_AS (--run-as) to a user without privileges, or drop the capability")
	}
	exposing := ExposingParents(user, secrets)
	if shell := proc.DeafShell(); shell != "" {
		args := []any{"program", shell, "pid", 1}
		// The same shell may expose a secret: log one warning for both.
		exposing = slices.DeleteFunc(exposing, func(p ExposingParent) bool {
			if p.PID == 1 {
				args = append(args, "jobs_can_read", p.Variables)
			}
			return p.PID == 1
		})
		log.Warn("SIGTERM does not reach azptend: the shell above it does not forward signals, so a stop ends the agent and its job without warning",
			append(args, "hint", "start azptend in place of the shell: write `exec azptend run`, or name azptend as the container's command")...)
	}
	for _, p := range exposing {
		log.Warn("Jobs can read a secret in the environment of a parent process of azptend", "program", p.Program, "pid", p.PID, "variables", p.Variables,
			"hint", "start azptend with `exec azptend run`, without sh -c, tini or --init (azptend is an init itself), or use a token file (AZP_TOKEN_FILE)")
	}
}
