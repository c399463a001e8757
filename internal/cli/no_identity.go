package cli

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
)

// noIdentityTimeout is how long the metadata service may take to answer before azptend
// warns: a person who forgot to set a token should read that at once.
const noIdentityTimeout = 800 * time.Millisecond

// selectsNoIdentity says that no setting and no platform names an identity, so that only
// the machine's metadata service is left to ask.
func selectsNoIdentity(s config.Settings) bool {
	return s.Identity.Setting == "" && s.Identity.Source == identity.ManagedIdentity && s.Identity.Host == identity.MetadataService
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

// metadataTimeout is short, because the metadata service is on this machine: it answers in milliseconds,
// and where nobody is, nothing answers.
const metadataTimeout = 2 * time.Second

// metadataAnswers says whether Azure's metadata service can be reached. It is
// asked without the header that it wants, which it refuses with 400: so no token
// is asked for, and another cloud's service at the same address is not taken for
// it (reference/identity.md 1.4).
func metadataAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://169.254.169.254/metadata/identity/oauth2/token", nil)
	if err != nil {
		return false
	}
	client := httpclient.ForIdentity()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusBadRequest
}
