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

// Options are the source that was chosen, and what it needs.
type Options struct {
	Source    Source
	TokenFile string      // a file that holds a token, read again at each use
	PAT       secret.Text // a personal access token, or an Entra token used like one

	// A managed identity, by at most one of its ids; none is the host's own. Beside
	// a TokenFile it is what a file without a usable token gives way to.
	Host       Host
	ObjectID   string
	ClientID   string // of a workload identity and of a service principal, too
	ResourceID string

	TenantID            string
	FederatedTokenFile  string // of a workload identity, read again at each exchange
	ClientSecret        secret.Text
	CertificateFile     string // PEM, or PKCS#12 of the old kind, with the key
	CertificatePassword secret.Text
	SendChain           bool

	EndpointClient *http.Client  // for identity endpoints: no proxy
	EntraClient    *http.Client  // for Entra ID, which is on the internet
	StartupTimeout time.Duration // how long an endpoint is waited for after the start; 0 is what the host needs
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

// Identity is who azptend is to Azure DevOps. It is safe for use by several
// goroutines.
type Identity struct {
	options    Options
	credential tokenSource // nil where only a file or a PAT is used

	mu                sync.Mutex
	source            Source
	fileTokens        fileTokens
	fileFailureLogged bool        // it was said that the token file gives none
	onFetch           func(Fetch) // nil for nobody
	now               func() time.Time
	lastReported      string // the token that was last told of
}

// Fetch is a new token, or the failure to get one. It holds nothing secret.
type Fetch struct {
	Source  Source
	Expires time.Time // zero with Err
	Err     error
}

// OnFetch calls f for each fetch. Call it before the first request for a token. A PAT and
// a token file are read and not fetched, so f is not called for them.
func (i *Identity) OnFetch(f func(Fetch)) { i.onFetch = f }

// UseClock has tokens judged by another clock than this machine's. It is called
// before the first token is asked for.
func (i *Identity) UseClock(now func() time.Time) { i.now = now }

// reportFetch calls onFetch, but not for a token from the SDK's cache.
func (i *Identity) reportFetch(token azcore.AccessToken, err error) {
	if i.onFetch == nil {
		return
	}
	i.mu.Lock()
	again := err == nil && token.Token == i.lastReported
	if err == nil {
		i.lastReported = token.Token
	}
	source := i.source
	i.mu.Unlock()
	if !again {
		i.onFetch(Fetch{source, token.ExpiresOn, err})
	}
}

// tokenSource is a way to Entra tokens. Fresh asks for another than the last.
type tokenSource interface {
	token(ctx context.Context, fresh bool) (azcore.AccessToken, error)
}

// New prepares the source. It sends no request.
func New(o Options) (*Identity, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Redactor == nil {
		o.Redactor = &secret.Redactor{}
	}
	for _, s := range []secret.Text{o.PAT, o.ClientSecret, o.CertificatePassword} {
		o.Redactor.Add(s)
	}
	i := &Identity{options: o, source: o.Source, now: time.Now}
	var err error
	switch {
	case o.Source == ManagedIdentity, o.Source == TokenFile && o.hasManagedSelector():
		i.credential, err = newManaged(o)
	case o.Source == WorkloadIdentity, o.Source == ServicePrincipal:
		i.credential, err = newApplication(o)
	case o.Source == AzureCLI:
		i.credential, err = newAzureCLI(o)
	case o.Source != TokenFile && o.Source != PAT:
		err = ErrNoSource
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Source is the source in force.
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
	}
	return i.options.selector()
}

func (o Options) hasManagedSelector() bool { return o.ObjectID+o.ClientID+o.ResourceID != "" }

func (o Options) selector() string {
	switch {
	case o.ObjectID != "":
		return "object id " + o.ObjectID
	case o.ClientID != "":
		return "client id " + o.ClientID
	case o.ResourceID != "":
		return "resource id " + o.ResourceID
	}
	return "system-assigned"
}

// Authorization returns an Authorization header's value. Refused is one that the
// server has refused, of which another is wanted; zero where none was. A file is
// read again at each use anyway; the others are asked past the SDK's cache. A token
// file that holds no token, or one that was refused, gives way to a named identity
// for good.
func (i *Identity) Authorization(ctx context.Context, refused secret.Text) (secret.Text, error) {
	switch i.Source() {
	case TokenFile:
		return i.fileAuthorization(ctx, refused)
	case PAT:
		return i.basic(i.options.PAT), nil
	}
	token, err := i.request(ctx, !refused.IsZero())
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New("Bearer " + token.Token), nil
}

// Token returns the token itself, for who must hand it on: of a PAT and of a
// token file what they hold, with a zero time.
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
	token, err := i.request(ctx, false)
	return secret.New(token.Token), token.ExpiresOn, err
}

// basic is how a PAT is presented. Azure DevOps takes an Entra token in its
// place too, which a token file may hold (reference/identity.md 5).
func (i *Identity) basic(token secret.Text) secret.Text {
	encoded := base64.StdEncoding.EncodeToString([]byte(":" + token.Reveal()))
	i.options.Redactor.Add(secret.New(encoded)) // to be decoded by anybody
	return secret.New("Basic " + encoded)
}

// A token is used for one request and its retries, or by a script. With less than
// minLifetime it is requested again, past azptend's own caches; the endpoints of managed
// identities have one that nothing gets past, and return tokens with five minutes left.
// With less than uselessLifetime it is of no use.
const (
	minLifetime     = 5 * time.Minute
	uselessLifetime = 30 * time.Second
)

// request gets a token that lives long enough. The expiry may be counted by this
// machine's clock (the SDK adds expires_in to it) or by the issuer's. So a token is
// asked for again if either clock says that it ends soon, and refused only if both
// say that it is over: otherwise the server decides.
func (i *Identity) request(ctx context.Context, fresh bool) (azcore.AccessToken, error) {
	for {
		var f requestError
		token, err := i.credential.token(withRequestError(ctx, &f), fresh)
		i.reportFetch(token, err)
		if err != nil {
			return azcore.AccessToken{}, fmt.Errorf("cannot get a token for the %s: %w", i.describe(), cmp.Or(f.err, err))
		}
		i.options.Redactor.Add(secret.New(token.Token))
		byOurs, byServer := time.Until(token.ExpiresOn), token.ExpiresOn.Sub(i.now())
		switch left := max(byOurs, byServer); {
		case !fresh && min(byOurs, byServer) < minLifetime:
			fresh = true
		case left <= 0:
			return azcore.AccessToken{}, fmt.Errorf("cannot use the token of the %s: it expired %s ago; "+
				"check this machine's clock", i.describe(), (-left).Round(time.Second))
		case left < uselessLifetime:
			return azcore.AccessToken{}, fmt.Errorf("cannot use the token of the %s: it expires in %s; "+
				"check this machine's clock", i.describe(), left.Round(time.Second))
		default:
			return token, nil
		}
	}
}

// describe names the identity in errors.
func (i *Identity) describe() string {
	source := i.Source()
	if source == AzureCLI {
		return "login of the Azure CLI"
	}
	return fmt.Sprintf("%s (%s)", source, i.options.selector())
}

// tokenRequest is the request for a token that Azure DevOps takes.
func tokenRequest() policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{DevOpsResource + "/.default"}}
}
