package cli

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// newIdentity makes the identity that the settings select.
func newIdentity(s config.Settings, web *http.Client, log *slog.Logger, redactor *secret.Redactor) (*identity.Identity, error) {
	o := s.Identity.Options
	o.EndpointClient, o.EntraClient, o.Log, o.Redactor = httpclient.ForIdentity(), web, log, redactor
	return identity.New(o)
}

// logIdentity logs which identity is used, and why.
func logIdentity(log *slog.Logger, who *identity.Identity, c config.ChosenIdentity) {
	attrs := []any{"source", who.Source(), "selector", who.Selector(), "why", c.Reason}
	if c.Host != "" {
		attrs = append(attrs, "host", c.Host)
	}
	if len(c.Ignored) > 0 {
		attrs = append(attrs, "ignored", strings.Join(c.Ignored, " "))
	}
	log.Info("Identity chosen", attrs...)
}
