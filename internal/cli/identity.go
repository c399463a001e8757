package cli

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
)

// newWebClient makes the HTTP client for Azure DevOps and Entra ID.
func newWebClient(s config.Settings) *http.Client {
	return httpclient.ForAzureDevOps("azptend/"+version(), s.Proxy(), s.CA)
}

// newClient makes an identity, and a client for Azure DevOps that uses it. observe is called
// for each request. It logs the identity at this level: info for commands that start agents
// and keepers. It sends no requests, so an error is caused by the settings.
func (p Process) newClient(s config.Settings, log *slog.Logger, level slog.Level, observe ...func(azdo.Observation)) (*identity.Identity, *azdo.Client, error) {
	web := newWebClient(s)
	who, err := s.NewIdentity(web, log, p.redactor)
	if err != nil {
		return nil, nil, err
	}
	attrs := []any{"source", who.Source(), "selector", who.Selector(), "why", s.Identity.Reason()}
	if s.Identity.Host != "" {
		attrs = append(attrs, "host", s.Identity.Host)
	}
	if len(s.Identity.Ignored) > 0 {
		attrs = append(attrs, "ignored", strings.Join(s.Identity.Ignored, " "))
	}
	log.Log(context.Background(), level, "Identity chosen", attrs...)
	if s.Identity.IsFallback() {
		identity.WarnWithoutMetadata(log)
	}
	client := azdo.New(s.URL, web, who, azdo.RequestLogger(log, observe...))
	who.Now = client.Now // a jump of this machine's clock does not invalidate the token
	return who, client, nil
}
