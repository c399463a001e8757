package identity

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/azptend/azptend/internal/httpclient"
)

// noMetadataTimeout is how long azptend waits for the metadata service before it warns. It is
// short, so that a person who forgot to set a token sees the warning at once.
const noMetadataTimeout = 800 * time.Millisecond

// WarnWithoutMetadata warns, in the background, if no metadata service answers. It is for
// settings that name no identity. azptend requests a token meanwhile: the service may start
// later.
func WarnWithoutMetadata(log *slog.Logger) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), noMetadataTimeout)
		defer cancel()
		if !MetadataAnswers(ctx) {
			log.Warn("No identity is set, and there is no metadata service of Azure here", "hint", SetAnIdentity)
		}
	}()
}

// SetAnIdentity says which settings select an identity, if none is set and there is no
// metadata service.
const SetAnIdentity = "set AZP_TOKEN or AZP_TOKEN_FILE (a personal access token), or AZP_CLIENTID with AZP_TENANTID and AZP_CLIENTSECRET (a service principal); " +
	"on Azure assign a managed identity, and name it in MANAGED_IDENTITY_OBJECT_ID"

// metadataTimeout is short, because the metadata service answers in milliseconds. Elsewhere
// nothing answers at its address.
const metadataTimeout = 2 * time.Second

// MetadataAnswers says whether Azure's metadata service is reachable. The request lacks the
// required header, so the service answers 400. This requests no token, and does not mistake
// another cloud's service at the same address for it (reference/identity.md 1.4).
func MetadataAnswers(ctx context.Context) bool {
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
