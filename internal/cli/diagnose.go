package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// diagnoseTimeout bounds how long the doctor may look while a life that has
// failed waits to leave. Each of its few requests takes a fraction of a second.
const diagnoseTimeout = 10 * time.Second

// diagnose has the doctor find out which of several causes a failure has, where
// the server's answer leaves that open: a token of another tenant, say, is
// refused without a word. It returns err where that teaches nothing, and where ctx ends first.
func diagnose(ctx context.Context, s config.Settings, redactor *secret.Redactor, err error) error {
	if !doctor.IsAmbiguous(err) || s.Registered != "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	if found, better := doctor.Diagnose(ctx, remoteEnvironment(s, slog.New(slog.DiscardHandler), redactor), err); better && ctx.Err() == nil {
		rest, repeats := strings.CutPrefix(found.What, err.Error())
		if !repeats {
			rest = ": " + found.What
		}
		return &hintedError{fmt.Errorf("%w%s", err, rest), found.Fix}
	}
	return err
}

// remoteEnvironment is the part of the environment that is not on this machine.
func remoteEnvironment(s config.Settings, log *slog.Logger, redactor *secret.Redactor) doctor.Environment {
	web := newWebClient(s)
	e := doctor.Environment{Settings: s, HTTP: web}
	if s.Identity.Source == "" || s.Registered != "" {
		return e
	}
	o := s.Identity.Options
	o.StartupTimeout, o.EntraClient, o.Log, o.Redactor = endpointTimeout, web, log, redactor
	who, err := identity.New(o)
	if err != nil {
		e.IdentityErr = err
		return e
	}
	e.Tokens = who
	if s.URL != "" {
		client := azdo.New(s.URL, web, who, requestLogger(log))
		e.Server = client
		e.Licence = func(ctx context.Context, key string) (azdo.Entitlement, error) {
			users, err := client.Account(ctx)
			if err != nil {
				return azdo.Entitlement{}, err
			}
			return users.Entitlement(ctx, key)
		}
	}
	return e
}

// endpointTimeout is how long doctor waits for an identity endpoint that may still be
// starting: a person waits for the result.
const endpointTimeout = 5 * time.Second
