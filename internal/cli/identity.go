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
func newIdentity(s config.Settings, web *http.Client, log *slog.Logger, guard *secret.Guard) (*identity.Identity, error) {
	return identity.New(identityOptions(s, web, log, guard))
}

func identityOptions(s config.Settings, web *http.Client, log *slog.Logger, guard *secret.Guard) identity.Options {
	c := s.Identity
	client := httpclient.ForIdentity()
	if hostOf(c.Host) == identity.Pinned {
		client = httpclient.ForPinnedIdentity()
	}
	return identity.Options{
		Source: sourceOf(c.Source), TokenFile: s.TokenFile, PAT: s.Token,
		Host: hostOf(c.Host), ObjectID: c.ObjectID, ClientID: c.ClientID, ResourceID: c.ResourceID,
		TenantID: c.TenantID, FederatedTokenFile: c.FederatedTokenFile, ClientSecret: c.ClientSecret,
		CertificateFile: c.CertificateFile, CertificatePassword: c.CertificatePassword, SendChain: c.SendChain,
		HTTP: client, Web: web, Log: log, Guard: guard,
	}
}

// sayIdentity says in one line which identity is used, and why that one.
func sayIdentity(log *slog.Logger, who *identity.Identity, c config.Choice) {
	facts := []any{"source", who.Source(), "selector", who.Selector(), "why", c.Why}
	if c.Host != "" {
		facts = append(facts, "host", c.Host)
	}
	if len(c.Ignored) > 0 {
		facts = append(facts, "ignored", strings.Join(c.Ignored, " "))
	}
	log.Info("Identity chosen", facts...)
}

func sourceOf(s config.Source) identity.Source {
	return map[config.Source]identity.Source{
		config.TokenFile: identity.TokenFile, config.PAT: identity.PAT, config.ManagedIdentity: identity.ManagedIdentity,
		config.WorkloadIdentity: identity.WorkloadIdentity, config.ServicePrincipal: identity.ServicePrincipal, config.AzureCLI: identity.AzureCLI,
	}[s]
}

func hostOf(h config.Host) identity.Host {
	switch h {
	case config.Metadata:
		return identity.Metadata
	case config.ServiceFabric:
		return identity.Pinned
	}
	return identity.Neighbour
}
