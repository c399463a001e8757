package cli

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

// exposingParent is a process above azptend that shows jobs a secret. azptend closes its
// own environment, and cannot close another's.
type exposingParent struct {
	pid       int
	program   string
	variables string
}

// exposingParents are those whose environment the jobs' user can read, and which
// hold a secret of azptend there: a shell, an init or a wrapper that was started
// with the container's environment and waits.
func exposingParents(s config.Settings, user *proc.User) []exposingParent {
	var found []exposingParent
	for _, a := range proc.Ancestors(user) {
		if names := agentdir.SecretVariables(a.Environ, reveal(s.Secrets())); len(names) > 0 {
			found = append(found, exposingParent{a.PID, cmp.Or(a.Program, "a program"), strings.Join(names, " ")})
		}
	}
	return found
}

// loadFileToken reads the token file once, so that its token is known as a secret
// too: a start script that writes the file has the token in its environment.
func loadFileToken(s config.Settings) config.Settings {
	if s.TokenFile == "" || s.Registered != "" {
		return s
	}
	ctx, cancel := context.WithTimeout(context.Background(), readFileWithin)
	defer cancel()
	b, err := safefile.ReadFileBy(ctx, s.TokenFile, longestToken)
	if err != nil { // the caller that uses it reports it
		return s
	}
	s.FileToken = secret.New(strings.TrimSpace(string(b)))
	return s
}

const (
	readFileWithin = 5 * time.Second
	longestToken   = 64 << 10
)

func warnExposingParents(s config.Settings, user *proc.User, log *slog.Logger) {
	for _, p := range exposingParents(s, user) {
		log.Warn("Jobs can read a secret in the environment of a process above azptend", "program", p.program, "pid", p.pid, "variables", p.variables,
			"hint", "start azptend in its place (exec azptend run, without sh -c, tini or --init: azptend is an init itself), or give it the secret in a file (AZP_TOKEN_FILE)")
	}
}
