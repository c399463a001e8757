package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/identity"
)

// noIdentityTimeout is how long the metadata service may take to answer before azptend
// warns: a person who forgot to set a token should read that at once.
const noIdentityTimeout = 800 * time.Millisecond

// selectsNoIdentity says that no setting and no platform names an identity, so that only
// the machine's metadata service is left to ask.
func selectsNoIdentity(s config.Settings) bool {
	return s.Identity.Source == identity.ManagedIdentity && s.Identity.Host == identity.MetadataService && s.Identity.Reason == doctor.ByDefault
}

// warnNoIdentity warns, in the background, of settings without an identity if no metadata
// service answers. Requests for a token go on meanwhile: the service may start late.
func warnNoIdentity(s config.Settings, log *slog.Logger) {
	if !selectsNoIdentity(s) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), noIdentityTimeout)
		defer cancel()
		if !metadataAnswers(ctx) {
			log.Warn("No identity is set, and there is no metadata service of Azure here", "hint", doctor.SetAnIdentity)
		}
	}()
}
