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

var errFileRefused = errors.New("its token was refused")

const (
	// readWithin is how long the file system may take that a token's file is in.
	readWithin = 5 * time.Second
	// rotationTakes is how long a file may be empty or away that held a token: a
	// secret's rotation often truncates the file, and then writes it.
	rotationTakes = 2 * time.Second
	rotationLook  = 100 * time.Millisecond
)

// fileTokens are the tokens that a token file held: what was read last, and before
// it another. The one before may still work when the last does not, and both may
// when the file holds nothing.
type fileTokens struct{ last, before fileToken }

type fileToken struct {
	text    secret.Text // zero for none
	refused bool        // by the server
}

// take remembers what the file holds.
func (t *fileTokens) take(text secret.Text) {
	if text.Reveal() != t.last.text.Reveal() {
		t.before, t.last = t.last, fileToken{text: text}
	}
}

// usable is the newest that was not refused, if there is one.
func (t *fileTokens) usable() (text secret.Text, has bool) {
	for _, token := range []fileToken{t.last, t.before} {
		if !token.text.IsZero() && !token.refused {
			return token.text, true
		}
	}
	return secret.Text{}, false
}

// refuse remembers that the server has refused a header.
func (i *Identity) refuse(header secret.Text) {
	for _, token := range []*fileToken{&i.tokens.last, &i.tokens.before} {
		if !token.text.IsZero() && i.basic(token.text).Reveal() == header.Reveal() {
			token.refused = true
		}
	}
}

// fromFile is the header for the file's token, another than the refused one if
// there is another.
func (i *Identity) fromFile(ctx context.Context, refused secret.Text) (secret.Text, error) {
	i.mu.Lock()
	i.refuse(refused)
	_, has := i.tokens.usable()
	i.mu.Unlock()
	text, err := i.awaitFile(ctx, !has)
	useless := err
	switch {
	case !refused.IsZero() && err == nil:
		useless = errFileRefused // and may have been replaced since: without an identity it is tried
	case refused.IsZero() && has:
		useless = nil
	}
	if useless != nil && i.fallBack(useless) {
		return i.bearer(ctx, !refused.IsZero())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.tokens.take(text)
		i.unread = false
	}
	usable, has := i.tokens.usable()
	switch {
	case has:
		text = usable
	case err != nil:
		return secret.Text{}, err
	}
	if err != nil && !i.unread {
		i.unread = true
		i.options.Log.Warn("The token file gives no token: using the one that was read before", "file", i.options.TokenFile, "error", err)
	}
	return i.basic(text), nil
}

// fallBack uses the named identity from now on, if there is one.
func (i *Identity) fallBack(why error) bool {
	if i.entra == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.source == TokenFile {
		i.options.Log.Warn("The token file is of no use: using the managed identity",
			"file", i.options.TokenFile, "selector", i.options.selector(), "error", why)
		i.source = ManagedIdentity
	}
	return true
}

// awaitFile reads the token file, and while it is being replaced, again: for as
// long as that takes, if wait says that there is no other token.
func (i *Identity) awaitFile(ctx context.Context, wait bool) (secret.Text, error) {
	ends := time.Now().Add(rotationTakes)
	for {
		text, err := i.readFile(ctx)
		if err == nil || !wait || !i.beingReplaced(err) || !time.Now().Before(ends) || retry.Sleep(ctx, rotationLook) != nil {
			return text, err
		}
	}
}

// beingReplaced says that a file may be in the middle of a rotation: it is empty,
// or not there any more.
func (i *Identity) beingReplaced(err error) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return errors.Is(err, errEmpty) || !i.tokens.last.text.IsZero() && errors.Is(err, fs.ErrNotExist)
}

// readFile reads the token file. A file that held a token once is expected to hold
// one again: a failure is not final then.
func (i *Identity) readFile(ctx context.Context) (secret.Text, error) {
	text, err := readToken(ctx, "the token file", "AZP_TOKEN_FILE", i.options.TokenFile)
	i.options.Guard.Watch(text)
	i.mu.Lock()
	defer i.mu.Unlock()
	if e := (*FileError)(nil); errors.As(err, &e) && !i.tokens.last.text.IsZero() {
		e.passing = true
	}
	return text, err
}

// readToken reads a file that holds a token and nothing else but white space
// around it, as editors and secret stores leave it.
func readToken(ctx context.Context, what, setting, path string) (secret.Text, error) {
	b, err := readFile(ctx, path, maxToken)
	if err != nil {
		return secret.Text{}, &FileError{cause: fmt.Errorf("cannot read %s (%s): %w", what, setting, err)}
	}
	token := strings.TrimSpace(string(b))
	if why := notAToken(token); why != nil {
		return secret.Text{}, &FileError{cause: fmt.Errorf("cannot use %s %s (%s): %w", what, path, setting, why)}
	}
	return secret.New(token), nil
}

func readFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, readWithin)
	defer done()
	return safefile.ReadFileBy(ctx, path, limit)
}

// FileError is a file that gives no token, or no certificate.
type FileError struct {
	cause   error
	passing bool
}

func (e *FileError) Error() string { return e.cause.Error() }
func (e *FileError) Unwrap() error { return e.cause }

// Refused says that asking again will not help: whoever writes the file has to.
func (e *FileError) Refused() bool { return !e.passing }

// maxToken bounds a token: an Entra token is 1 to 3 kB.
const maxToken = 64 << 10

var errEmpty = errors.New("it is empty")

// notAToken says what is wrong with something that should be a token: "null" is
// what jq prints for an answer without one, and passed the post's check.
func notAToken(s string) error {
	switch {
	case s == "":
		return errEmpty
	case s == "null":
		return errors.New(`it holds the word "null": whatever wrote it was given an answer without a token`)
	case len(s) > maxToken:
		return errors.New("it is too long for a token")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("it holds characters that no token has")
	}
	return nil
}
