package doctor

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// endpointTimeout is how long doctor waits for an identity endpoint. It is shorter than for
// run, because a person waits for the result.
const endpointTimeout = 5 * time.Second

// NewRemoteEnvironment is the part of an environment that is not on this machine. web is the
// client for Azure DevOps and Entra ID.
func NewRemoteEnvironment(s config.Settings, web *http.Client, log *slog.Logger, redactor *secret.Redactor) Environment {
	e := Environment{Settings: s, HTTP: web, Endpoints: requiredEndpoints(s)}
	if s.Identity.Source == "" || s.Registered != "" {
		return e
	}
	s.Identity.StartupTimeout = endpointTimeout
	who, err := s.NewIdentity(web, log, redactor)
	if err != nil {
		e.IdentityErr = err
		return e
	}
	e.Tokens = who
	if s.URL == "" {
		return e
	}
	client := azdo.New(s.URL, web, who, azdo.RequestLogger(log))
	e.Server = client
	e.Licence = func(ctx context.Context, key string) (azdo.Entitlement, error) {
		users, err := client.Account(ctx)
		if err != nil {
			return azdo.Entitlement{}, err
		}
		return users.Entitlement(ctx, key)
	}
	return e
}

// requiredEndpoints are the hosts that are needed in addition to the organisation's: those
// from which agents of Azure DevOps Services get tokens and packages (agent-protocol.md 3.2,
// 8), and Entra ID's if it issues the token.
func requiredEndpoints(s config.Settings) []Endpoint {
	var hosts []Endpoint
	if at, err := url.Parse(s.URL); err == nil {
		host := strings.ToLower(at.Hostname())
		if host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") {
			hosts = append(hosts, Endpoint{URL: "https://vssps.dev.azure.com", For: "the agent's log-on"},
				Endpoint{URL: "https://download.agent.dev.azure.com", For: "the agent's package and its updates"})
		}
	}
	switch s.Identity.Source {
	case identity.ServicePrincipal, identity.WorkloadIdentity:
		authority := cmp.Or(s.Getenv("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com")
		hosts = append(hosts, Endpoint{URL: authority, For: "the identity's tokens"})
	}
	return hosts
}
