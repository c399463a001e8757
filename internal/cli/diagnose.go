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

// diagnoseTimeout bounds diagnose, because a run that has failed waits for it before it exits.
// Each of the few requests takes a fraction of a second.
const diagnoseTimeout = 10 * time.Second

// diagnose runs checks of the doctor to find the cause of an error that may have several: for
// example, the server refuses a token of another tenant without a reason. It returns err if
// the checks find nothing, or if ctx ends first.
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

// remoteEnvironment is the part of a doctor.Environment that is not on this machine.
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

// endpointTimeout is how long doctor waits for an identity endpoint. It is shorter than for
// run, because a person waits for the result.
const endpointTimeout = 5 * time.Second
