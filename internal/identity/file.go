package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

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

func (i *Identity) readFile() (secret.Text, error) {
	text, err := readToken("the token file", "AZP_TOKEN_FILE", i.options.TokenFile)
	i.options.Guard.Watch(text)
	return text, err
}

// readToken reads a file that holds a token and nothing else but white space
// around it, as editors and secret stores leave it.
func readToken(what, setting, path string) (secret.Text, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, &FileError{fmt.Errorf("cannot read %s (%s): %w", what, setting, err)}
	}
	token := strings.TrimSpace(string(b))
	if why := notAToken(token); why != "" {
		return secret.Text{}, &FileError{fmt.Errorf("cannot use %s %s (%s): %s", what, path, setting, why)}
	}
	return secret.New(token), nil
}

// FileError is a file that gives no token, or no certificate.
type FileError struct{ cause error }

func (e *FileError) Error() string { return e.cause.Error() }
func (e *FileError) Unwrap() error { return e.cause }

// Refused says that asking again will not help: whoever writes the file has to.
func (e *FileError) Refused() bool { return true }

// maxToken bounds a token: an Entra token is 1 to 3 kB.
const maxToken = 64 << 10

// notAToken says what is wrong with something that should be a token: "null" is
// what jq prints for an answer without one, and passed the post's check.
func notAToken(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case s == "null":
		return `it holds the word "null": whatever wrote it was given an answer without a token`
	case len(s) > maxToken:
		return "it is too long for a token"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "it holds characters that no token has"
	}
	return ""
}
