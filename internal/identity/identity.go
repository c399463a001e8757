package identity

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/azptend/azptend/internal/secret"
)

// DevOpsResource is Azure DevOps' application id in Entra ID, the same in every
// tenant (identity.md 1.1).
const DevOpsResource = "499b84ac-1321-427f-aa17-267ca6975798"

// Options are what a person set. At least one source must be there.
type Options struct {
	TokenFile string      // a file that holds a token, read again at each use
	ObjectID  string      // a managed identity, by its object id
	PAT       secret.Text // a personal access token, or an Entra token used like one

	HTTP     *http.Client  // for identity endpoints: no proxy
	Patience time.Duration // how long a refused connection is retried after the start
	Log      *slog.Logger
	Guard    *secret.Guard // is shown every token, so that no log line holds one
}

// ErrNoSource says that nothing was set by which to log on.
var ErrNoSource = errors.New("no identity is set")

// Source is where a token comes from.
type Source string

// The sources.
const (
	TokenFile       Source = "token file"
	ManagedIdentity Source = "managed identity"
	PAT             Source = "personal access token"
)

// Identity is who azptend is to Azure DevOps. It is safe for use by several
// goroutines.
type Identity struct {
	options Options
	managed azcore.TokenCredential // nil where none is named

	mu     sync.Mutex
	source Source
}

// New picks the source: what a person set, the token file before the named
// identity before the PAT.
func New(o Options) (*Identity, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard = &secret.Guard{}
	}
	o.Guard.Watch(o.PAT)
	i := &Identity{options: o}
	switch {
	case o.TokenFile != "":
		i.source = TokenFile
	case o.ObjectID != "":
		i.source = ManagedIdentity
	case !o.PAT.IsZero():
		i.source = PAT
	default:
		return nil, ErrNoSource
	}
	if o.ObjectID == "" {
		return i, nil
	}
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: policy.ClientOptions{
			Transport: newEndpoint(o.HTTP, o.Patience, o.Log),
			// The SDK would try again by itself, for 9 to 98 s (identity.md 2), and
			// outlast the caller's budget without a word.
			Retry: policy.RetryOptions{MaxRetries: -1},
		},
		ID: azidentity.ObjectID(o.ObjectID),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot use the managed identity: %w", err)
	}
	i.managed = cred
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
	case ManagedIdentity:
		return "object id " + i.options.ObjectID
	default:
		return "AZP_TOKEN"
	}
}

// Authorization returns an Authorization header's value. Fresh asks for a token
// other than the last, which was refused: a file is read again at each use
// anyway; a managed identity is asked past the SDK's cache. A token file that
// holds no token, or one that was refused, gives way to a named identity for
// good, as in the post.
func (i *Identity) Authorization(ctx context.Context, fresh bool) (secret.Text, error) {
	switch i.Source() {
	case TokenFile:
		return i.fromFile(ctx, fresh)
	case ManagedIdentity:
		return i.bearer(ctx, fresh)
	default:
		return i.basic(i.options.PAT), nil
	}
}

var errFileRefused = errors.New("its token was refused")

func (i *Identity) fromFile(ctx context.Context, refused bool) (secret.Text, error) {
	text, err := i.readFile()
	useless := err
	if refused && err == nil {
		useless = errFileRefused // and may have been replaced since: without an identity it is tried
	}
	if useless != nil && i.fallBack(useless) {
		return i.bearer(ctx, refused)
	}
	if err != nil {
		return secret.Text{}, err
	}
	return i.basic(text), nil
}

// fallBack uses the named identity from now on, if there is one.
func (i *Identity) fallBack(why error) bool {
	if i.managed == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.source == TokenFile {
		i.options.Log.Warn("The token file is of no use: using the managed identity",
			"file", i.options.TokenFile, "object_id", i.options.ObjectID, "error", why)
		i.source = ManagedIdentity
	}
	return true
}

func (i *Identity) bearer(ctx context.Context, fresh bool) (secret.Text, error) {
	text, err := i.askManaged(ctx, fresh)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New("Bearer " + text.Reveal()), nil
}

// basic is how a PAT is presented. Azure DevOps takes an Entra token in its
// place too, which a token file may hold (identity.md 5).
func (i *Identity) basic(token secret.Text) secret.Text {
	encoded := base64.StdEncoding.EncodeToString([]byte(":" + token.Reveal()))
	i.options.Guard.Watch(secret.New(encoded)) // to be decoded by anybody
	return secret.New("Basic " + encoded)
}

// maxTokenFile bounds a token: an Entra token is 1 to 3 kB.
const maxTokenFile = 64 << 10

func (i *Identity) readFile() (secret.Text, error) {
	path := i.options.TokenFile
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, &FileError{fmt.Errorf("cannot read the token file (AZP_TOKEN_FILE): %w", err)}
	}
	token := strings.TrimSpace(string(b))
	if why := notAToken(token); why != "" {
		return secret.Text{}, &FileError{fmt.Errorf("cannot use the token file %s (AZP_TOKEN_FILE): %s", path, why)}
	}
	text := secret.New(token)
	i.options.Guard.Watch(text)
	return text, nil
}

// FileError is a token file that gives no token.
type FileError struct{ cause error }

func (e *FileError) Error() string { return e.cause.Error() }
func (e *FileError) Unwrap() error { return e.cause }

// Refused says that asking again will not help: whoever writes the file has to.
func (e *FileError) Refused() bool { return true }

// notAToken says what is wrong with something that should be a token: "null" is
// what jq prints for an answer without one, and passed the post's check.
func notAToken(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case s == "null":
		return `it holds the word "null": whatever wrote it was given an answer without a token`
	case len(s) > maxTokenFile:
		return "it is too long for a token"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "it holds characters that no token has"
	}
	return ""
}

// pastTheCache is a claims request that asks for nothing. The SDK takes any as a
// reason not to answer from its memory, and it has no other switch for that
// (identity.md 2).
const pastTheCache = `{"access_token":{}}`

func (i *Identity) askManaged(ctx context.Context, fresh bool) (secret.Text, error) {
	options := policy.TokenRequestOptions{Scopes: []string{DevOpsResource + "/.default"}}
	if fresh {
		options.Claims = pastTheCache
	}
	var f failure
	token, err := i.managed.GetToken(noting(ctx, &f), options)
	if err != nil {
		return secret.Text{}, fmt.Errorf("cannot get a token for the managed identity (object id %s): %w",
			i.options.ObjectID, cmp.Or(f.err, err))
	}
	text := secret.New(token.Token)
	i.options.Guard.Watch(text)
	if left := time.Until(token.ExpiresOn); left <= 0 {
		return secret.Text{}, fmt.Errorf("cannot use the managed identity's token (object id %s): it expired %s ago; "+
			"is this machine's clock right?", i.options.ObjectID, (-left).Round(time.Second))
	}
	return text, nil
}
