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

// newIdentity makes the identity that the settings chose.
func newIdentity(s config.Settings, web *http.Client, log *slog.Logger, redactor *secret.Redactor) (*identity.Identity, error) {
	return identity.New(identityOptions(s, web, log, redactor))
}

func identityOptions(s config.Settings, web *http.Client, log *slog.Logger, redactor *secret.Redactor) identity.Options {
	c := s.Identity
	client := httpclient.ForIdentity()
	if identityHost(c.Host) == identity.ServiceFabric {
		client = httpclient.ForPinnedIdentity()
	}
	return identity.Options{
		Source: identitySource(c.Source), TokenFile: s.TokenFile, PAT: s.Token,
		Host: identityHost(c.Host), ObjectID: c.ObjectID, ClientID: c.ClientID, ResourceID: c.ResourceID,
		TenantID: c.TenantID, FederatedTokenFile: c.FederatedTokenFile, ClientSecret: c.ClientSecret,
		CertificateFile: c.CertificateFile, CertificatePassword: c.CertificatePassword, SendChain: c.SendChain,
		EndpointClient: client, EntraClient: web, Log: log, Redactor: redactor,
	}
}

// logIdentity says in one line which identity is used, and why that one.
func logIdentity(log *slog.Logger, who *identity.Identity, c config.IdentityChoice) {
	facts := []any{"source", who.Source(), "selector", who.Selector(), "why", c.Reason}
	if c.Host != "" {
		facts = append(facts, "host", c.Host)
	}
	if len(c.Ignored) > 0 {
		facts = append(facts, "ignored", strings.Join(c.Ignored, " "))
	}
	log.Info("Identity chosen", facts...)
}

func identitySource(s config.Source) identity.Source {
	return map[config.Source]identity.Source{
		config.TokenFile: identity.TokenFile, config.PAT: identity.PAT, config.ManagedIdentity: identity.ManagedIdentity,
		config.WorkloadIdentity: identity.WorkloadIdentity, config.ServicePrincipal: identity.ServicePrincipal, config.AzureCLI: identity.AzureCLI,
	}[s]
}

func identityHost(h config.Host) identity.Host {
	switch h {
	case config.Metadata:
		return identity.Metadata
	case config.ServiceFabric:
		return identity.ServiceFabric
	}
	return identity.Local
}
