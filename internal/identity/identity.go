// Package identity gets the tokens for azptend's own requests to Azure DevOps: from a
// managed identity, a workload identity, a service principal, the Azure CLI's login, a
// token file or a personal access token. The caller of [New] decides which one. Each
// use asks for the token again.
//
// Entra tokens come from azidentity, with an explicit selector and never with its
// default chain: what a platform injects must not override what a person configured.
// The SDK finds a managed identity's endpoint in the environment, and reads
// AZURE_AUTHORITY_HOST. This package adds what the SDK lacks: it waits for an endpoint
// that is still starting, gets past the SDK's cache after a token was refused, and
// reads a projected token at each exchange. Its errors quote the endpoint's code and
// message and nothing else of a response, because a response may hold a token.
//
// The sources are in file.go, managed.go and application.go (workload identities,
// service principals and the Azure CLI). endpoint.go is the SDK's transport to identity
// endpoints.
//
// Facts: reference/identity.md 1 and 2; for users, docs/identity.md.
package identity

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/azptend/azptend/internal/secret"
)

// DevOpsResource is Azure DevOps' application id in Entra ID, the same in every
// tenant (reference/identity.md 1.1).
const DevOpsResource = "499b84ac-1321-427f-aa17-267ca6975798"

// Options are the source to use, and what it needs.
type Options struct {
	Source      Source
	TokenFile   string      // a file that holds a token, read again at each use
	PAT         secret.Text // a personal access token, or an Entra token used like one
	Host        Host        // whose endpoint gives tokens of managed identities
	Managed     ManagedID   // beside a TokenFile: used once the file has no usable token
	Application Application // a workload identity or a service principal

	EndpointClient *http.Client  // for identity endpoints; nil: one without a proxy
	EntraClient    *http.Client  // for Entra ID, which is on the internet
	StartupTimeout time.Duration // how long an endpoint may take to appear after the start; 0: as long as the host needs
	MaxUnreachable int           // how often an endpoint that cannot be reached is tried within that time; 0: no limit
	Log            *slog.Logger
	Redactor       *secret.Redactor // gets every token, so that no log line holds one
}

// ErrNoSource says that no identity is configured.
var ErrNoSource = errors.New("no identity is set")

// Source is where a token comes from.
type Source string

// The sources.
const (
	TokenFile        Source = "token file"
	ManagedIdentity  Source = "managed identity"
	WorkloadIdentity Source = "workload identity"
	ServicePrincipal Source = "service principal"
	AzureCLI         Source = "Azure CLI"
	PAT              Source = "personal access token"
)

// Identity gets the tokens of one source. It is safe for use by several goroutines.
type Identity struct {
	// OnFetch is called for each fetch; nil: nobody is. A PAT and a token file are read and
	// not fetched. Set it, and Now, before the first request for a token.
	OnFetch func(Fetch)
	// Now is the clock that the tokens' expiry is compared with, in addition to this
	// machine's.
	Now func() time.Time

	options  Options
	getToken tokenSource // nil if only a file or a PAT is used

	mu                sync.Mutex
	source            Source
	fileTokens        fileTokens
	fileFailureLogged bool   // the token file gives none, and a line says so
	lastFetched       string // the token that OnFetch was last called for
}

// Fetch is a new token, or the failure to get one. It holds nothing secret.
type Fetch struct {
	Source  Source
	Expires time.Time // zero with Err
	Err     error
}

// tokenSource gets an Entra token. Fresh asks for one that no cache of azptend's has.
type tokenSource func(ctx context.Context, fresh bool) (azcore.AccessToken, error)

// New prepares the source. It sends no request.
func New(o Options) (*Identity, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Redactor == nil {
		o.Redactor = &secret.Redactor{}
	}
	o.Redactor.Add(o.PAT, o.Application.Secret, o.Application.CertificatePassword)
	i := &Identity{options: o, source: o.Source, Now: time.Now}
	var err error
	switch {
	case o.Source == ManagedIdentity, o.Source == TokenFile && o.Managed != ManagedID{}:
		i.getToken, err = newManaged(o)
	case o.Source == WorkloadIdentity, o.Source == ServicePrincipal:
		i.getToken, err = newApplication(o)
	case o.Source == AzureCLI:
		i.getToken, err = newAzureCLI(o)
	case o.Source != TokenFile && o.Source != PAT:
		err = ErrNoSource
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Source is the source in use.
func (i *Identity) Source() Source {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.source
}

// Selector says which identity of its source is used, for a log line.
func (i *Identity) Selector() string {
	switch i.Source() {
	case TokenFile:
		return i.options.TokenFile
	case PAT:
		return "AZP_TOKEN"
	case AzureCLI:
		return "who is logged in"
	case ManagedIdentity:
		return i.options.Managed.String()
	}
	return "client id " + i.options.Application.ClientID
}

// Authorization returns an Authorization header's value. If the server has just rejected
// one, rejected is that value, and Authorization tries to get another; otherwise zero. Token
// files are read again at each use. The other sources get past the SDK's cache. If a token
// file holds no token, or the server rejects it, a named identity replaces it for good.
// The result may be the rejected value: a PAT has no other.
func (i *Identity) Authorization(ctx context.Context, rejected secret.Text) (secret.Text, error) {
	switch i.Source() {
	case TokenFile:
		return i.fileAuthorization(ctx, rejected)
	case PAT:
		return i.basic(i.options.PAT), nil
	}
	token, err := i.fetch(ctx, !rejected.IsZero())
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New("Bearer " + token.Token), nil
}

// Token returns the token itself, for a caller that hands it on, and when it expires. For
// a PAT and a token file that is not known, and zero.
func (i *Identity) Token(ctx context.Context) (secret.Text, time.Time, error) {
	switch i.Source() {
	case TokenFile:
		text, err := i.readFile(ctx)
		if err == nil || !i.fallBackToManaged(err) {
			return text, time.Time{}, err
		}
	case PAT:
		return i.options.PAT, time.Time{}, nil
	}
	token, err := i.fetch(ctx, false)
	return secret.New(token.Token), token.ExpiresOn, err
}

// basic is the header for a PAT. Azure DevOps accepts an Entra token in this form too,
// which a token file may hold (reference/identity.md 5).
func (i *Identity) basic(token secret.Text) secret.Text {
	encoded := base64.StdEncoding.EncodeToString([]byte(":" + token.Reveal()))
	i.options.Redactor.Add(secret.New(encoded)) // anybody can decode it
	return secret.New("Basic " + encoded)
}

// A token is used for one request and its retries, or by a script. With less than
// minLifetime it is requested again, past azptend's own caches. The endpoints of managed
// identities have a cache that nothing gets past, and return tokens with five minutes
// left. With less than uselessLifetime a token is of no use.
const (
	minLifetime     = 5 * time.Minute
	uselessLifetime = 30 * time.Second
)

// tokenRequest asks for a token that Azure DevOps accepts.
var tokenRequest = policy.TokenRequestOptions{Scopes: []string{DevOpsResource + "/.default"}}

// fetch gets a token that is valid for long enough. The expiry may be counted by this
// machine's clock (the SDK adds expires_in to it) or by the issuer's. So azptend requests
// another token if either clock says that it expires soon, and fails only if both say
// that it has expired: otherwise the server decides.
func (i *Identity) fetch(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
	for {
		var f requestError
		token, err := i.getToken(context.WithValue(ctx, requestErrorKey{}, &f), fresh)
		i.reportFetch(token, err)
		if err != nil {
			return azcore.AccessToken{}, fmt.Errorf("cannot get a token for the %s: %w", i.describe(), cmp.Or(f.err, err))
		}
		i.options.Redactor.Add(secret.New(token.Token))
		byOurs, byServer := time.Until(token.ExpiresOn), token.ExpiresOn.Sub(i.Now())
		if !fresh && min(byOurs, byServer) < minLifetime {
			fresh = true
			continue
		}
		left := max(byOurs, byServer)
		if left >= uselessLifetime {
			return token, nil
		}
		state := fmt.Sprintf("expires in %s", left.Round(time.Second))
		if left <= 0 {
			state = fmt.Sprintf("expired %s ago", (-left).Round(time.Second))
		}
		return azcore.AccessToken{}, fmt.Errorf("cannot use the token of the %s: it %s; check this machine's clock", i.describe(), state)
	}
}

// reportFetch calls OnFetch, except for a token from the SDK's cache.
func (i *Identity) reportFetch(token azcore.AccessToken, err error) {
	i.mu.Lock()
	cached := err == nil && token.Token == i.lastFetched
	if err == nil {
		i.lastFetched = token.Token
	}
	source := i.source
	i.mu.Unlock()
	if i.OnFetch != nil && !cached {
		i.OnFetch(Fetch{source, token.ExpiresOn, err})
	}
}

// describe names the identity in errors.
func (i *Identity) describe() string {
	if source := i.Source(); source != AzureCLI {
		return fmt.Sprintf("%s (%s)", source, i.Selector())
	}
	return "login of the Azure CLI"
}
