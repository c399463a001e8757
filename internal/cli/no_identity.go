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

// noIdentityTimeout is how long azptend waits for the metadata service before it warns. It is
// short, so that a person who forgot to set a token sees the warning at once.
const noIdentityTimeout = 800 * time.Millisecond

// warnNoIdentity warns, in the background, about settings without an identity if no metadata
// service answers. azptend requests a token meanwhile: the service may start later.
func warnNoIdentity(s config.Settings, log *slog.Logger) {
	if s.Identity.Setting != "" || s.Identity.Source != identity.ManagedIdentity || s.Identity.Host != identity.MetadataService {
		return // a setting or the platform names an identity
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), noIdentityTimeout)
		defer cancel()
		if !metadataAnswers(ctx) {
			log.Warn("No identity is set, and there is no metadata service of Azure here", "hint", doctor.SetAnIdentity)
		}
	}()
}

// metadataTimeout is short, because the metadata service answers in milliseconds. Elsewhere
// nothing answers at its address.
const metadataTimeout = 2 * time.Second

// metadataAnswers says whether Azure's metadata service is reachable. The request lacks the
// required header, so the service answers 400. This requests no token, and does not mistake
// another cloud's service at the same address for it (reference/identity.md 1.4).
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
