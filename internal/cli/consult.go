package cli

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/secret"
)

// consultPatience bounds how long the doctor may look while a life that has
// failed waits to leave. Each of its few requests takes a fraction of a second.
const consultPatience = 10 * time.Second

// consult has the doctor find out which of several causes a failure has, where
// the server's answer leaves that open: a token of another tenant, say, is
// refused without a word. It returns err where that teaches nothing, and where ctx ends first.
func consult(ctx context.Context, s config.Settings, guard *secret.Guard, err error) error {
	if !doctor.IsVague(err) || s.Registered != "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, consultPatience)
	defer cancel()
	if found, better := doctor.SecondOpinion(ctx, remoteOf(s, slog.New(slog.DiscardHandler), guard), err); better && ctx.Err() == nil {
		return &consulted{err, found}
	}
	return err
}

// consulted is a failure with what the doctor found.
type consulted struct {
	err   error
	found doctor.Problem
}

func (e *consulted) Error() string {
	if strings.HasPrefix(e.found.What, e.err.Error()) {
		return e.found.What
	}
	return e.err.Error() + ": " + e.found.What
}
func (e *consulted) Unwrap() error { return e.err }
func (e *consulted) Hint() string  { return e.found.Fix }
