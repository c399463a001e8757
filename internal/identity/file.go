package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

var errTokenRejected = errors.New("the server rejected its token")

const (
	// rotationTimeout is how long a file may be empty or away that held a token: a
	// secret's rotation often truncates the file, and then writes it.
	rotationTimeout = 2 * time.Second
	rotationPoll    = 100 * time.Millisecond
)

// fileTokens are the tokens that a token file held: what was read last, and before
// it another. The one before may still work when the last does not, and both may
// when the file holds nothing.
type fileTokens struct{ last, previous fileToken }

type fileToken struct {
	text    secret.Text // zero for none
	refused bool        // by the server
}

// update records what the file holds.
func (t *fileTokens) update(text secret.Text) {
	if text.Reveal() != t.last.text.Reveal() {
		t.previous, t.last = t.last, fileToken{text: text}
	}
}

// usable is the newest token that the server has not refused.
func (t *fileTokens) usable() (text secret.Text, has bool) {
	for _, token := range []fileToken{t.last, t.previous} {
		if !token.text.IsZero() && !token.refused {
			return token.text, true
		}
	}
	return secret.Text{}, false
}

// markRefused records that the server refused a header.
func (i *Identity) markRefused(header secret.Text) {
	for _, token := range []*fileToken{&i.fileTokens.last, &i.fileTokens.previous} {
		if !token.text.IsZero() && i.basic(token.text).Reveal() == header.Reveal() {
			token.refused = true
		}
	}
}

// fileAuthorization is the header for the file's token, another than the refused one if
// there is another.
func (i *Identity) fileAuthorization(ctx context.Context, refused secret.Text) (secret.Text, error) {
	i.mu.Lock()
	i.markRefused(refused)
	_, has := i.fileTokens.usable()
	i.mu.Unlock()
	text, err := i.readRotatingFile(ctx, !has)
	useless := err
	switch {
	case err == nil && !refused.IsZero() && i.basic(text).Reveal() == refused.Reveal():
		useless = errTokenRejected // a newer one in the file is tried first
	case refused.IsZero() && has:
		useless = nil
	}
	if useless != nil && i.fallBackToManaged(useless) {
		return i.Authorization(ctx, refused) // the identity's, from now on
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.fileTokens.update(text)
		i.fileFailureLogged = false
	}
	usable, has := i.fileTokens.usable()
	switch {
	case has:
		text = usable
	case err != nil:
		return secret.Text{}, err
	}
	if err != nil && !i.fileFailureLogged {
		i.fileFailureLogged = true
		i.options.Log.Warn("Cannot read a token from the token file, using the previous one", "file", i.options.TokenFile, "error", err)
	}
	return i.basic(text), nil
}

// fallBackToManaged switches to the named identity for good, if there is one.
func (i *Identity) fallBackToManaged(why error) bool {
	if i.getToken == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.source == TokenFile {
		i.options.Log.Warn("Token file unusable, using the managed identity",
			"file", i.options.TokenFile, "selector", i.options.Managed, "error", why)
		i.source = ManagedIdentity
	}
	return true
}

// readRotatingFile reads the token file, and while it is being replaced, again: for as
// long as that takes, if wait says that there is no other token.
func (i *Identity) readRotatingFile(ctx context.Context, wait bool) (secret.Text, error) {
	ends := time.Now().Add(rotationTimeout)
	for {
		text, err := i.readFile(ctx)
		if err == nil || !wait || !i.isRotating(err) || !time.Now().Before(ends) || retry.Sleep(ctx, rotationPoll) != nil {
			return text, err
		}
	}
}

// isRotating says that a file may be in the middle of a rotation: it is empty,
// or not there any more.
func (i *Identity) isRotating(err error) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return errors.Is(err, errEmpty) || !i.fileTokens.last.text.IsZero() && errors.Is(err, fs.ErrNotExist)
}

// readFile reads the token file. A file that held a token once is expected to hold
// one again: a failure is not final then.
func (i *Identity) readFile(ctx context.Context) (secret.Text, error) {
	text, err := ReadTokenFile(ctx, i.options.TokenFile)
	i.options.Redactor.Add(text)
	i.mu.Lock()
	defer i.mu.Unlock()
	if e := (*FileError)(nil); errors.As(err, &e) && !i.fileTokens.last.text.IsZero() {
		e.temporary = true
	}
	return text, err
}

// ReadTokenFile reads a file that holds a token. The error is a *FileError.
func ReadTokenFile(ctx context.Context, path string) (secret.Text, error) {
	return readToken(ctx, "the token file", "AZP_TOKEN_FILE", path)
}

// readToken reads a token. The file may have white space around it, as editors and secret
// stores leave it.
func readToken(ctx context.Context, what, setting, path string) (secret.Text, error) {
	b, err := safefile.ReadFileInTime(ctx, path, maxToken)
	if err != nil {
		return secret.Text{}, &FileError{Setting: setting, error: fmt.Errorf("cannot read %s (%s): %w", what, setting, err)}
	}
	token := strings.TrimSpace(string(b))
	if why := CheckToken(token); why != nil {
		return secret.Text{}, &FileError{Setting: setting, error: fmt.Errorf("cannot use %s %s (%s): it %w", what, path, setting, why)}
	}
	return secret.New(token), nil
}

// FileError is a file that gives no token, or no certificate.
type FileError struct {
	Setting string // that names the file; "" for a certificate
	error
	temporary bool
}

func (e *FileError) Unwrap() error { return e.error }

// Permanent reports whether another attempt would fail as well, until somebody changes the
// file.
func (e *FileError) Permanent() bool { return !e.temporary }

// maxToken bounds a token: an Entra token is 1 to 3 kB.
const maxToken = 64 << 10

var errEmpty = errors.New("is empty")

// CheckToken returns what is wrong with a text that should be a token, as the end of a
// sentence. A script that checks only for an empty token passes "null" on.
func CheckToken(s string) error {
	switch {
	case s == "":
		return errEmpty
	case s == "null":
		return errors.New(`holds the word "null", which jq prints for a response without a token`)
	case len(s) > maxToken:
		return errors.New("is too long for a token")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("holds characters that no token has")
	}
	return nil
}
