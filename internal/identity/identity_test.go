package identity_test

import (
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

const pat = "p4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4tp4t"

func basic(token string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+token))
}

func tokenFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, content)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheSelector(t *testing.T) {
	inEnvironment(t, "http://127.0.0.1:1/")
	file, object := tokenFile(t, "from-the-file"), anObject()
	for _, tt := range []struct {
		options  identity.Options
		selector string
	}{
		{identity.Options{Source: identity.TokenFile, TokenFile: file, Managed: identity.ManagedID{ObjectID: object}, PAT: secret.New(pat)}, file},
		{identity.Options{Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: object}}, "object id " + object},
		{identity.Options{Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: object}}, "client id " + object},
		{identity.Options{Source: identity.ManagedIdentity, Managed: identity.ManagedID{ResourceID: "/subscriptions/x"}}, "resource id /subscriptions/x"},
		{identity.Options{Source: identity.ManagedIdentity}, "system-assigned"},
		{identity.Options{Source: identity.WorkloadIdentity, Application: identity.Application{TenantID: "t", ClientID: object}}, "client id " + object},
		{identity.Options{Source: identity.PAT, PAT: secret.New(pat)}, "AZP_TOKEN"},
		{identity.Options{Source: identity.AzureCLI}, "who is logged in"},
	} {
		who := newIdentity(t, tt.options)
		if who.Source() != tt.options.Source || who.Selector() != tt.selector {
			t.Errorf("is %s, %s, want %s", who.Source(), who.Selector(), tt.selector)
		}
	}
	if _, err := identity.New(identity.Options{}); !errors.Is(err, identity.ErrNoSource) {
		t.Errorf("without any: %v", err)
	}
}

func TestAPersonalAccessToken(t *testing.T) {
	var redactor secret.Redactor
	who := newIdentity(t, identity.Options{PAT: secret.New(pat), Redactor: &redactor})
	for _, fresh := range []bool{false, true} {
		if got := authorize(t, who, fresh); got != basic(pat) {
			t.Errorf("header is %q", got)
		}
	}
	for _, form := range []string{pat, basic(pat)} {
		if got := redactor.Redact("401 for " + form); strings.Contains(got, form[8:]) {
			t.Errorf("a log line would say %q", got)
		}
	}
}

func TestATokenFileIsReadAtEachUse(t *testing.T) {
	path := tokenFile(t, "first-token\n")
	who := newIdentity(t, identity.Options{TokenFile: path})
	if got := authorize(t, who, false); got != basic("first-token") {
		t.Errorf("header is %q", got)
	}
	write(t, path, "\r\n second-token \r\n") // as editors and secret stores leave it
	if got := authorize(t, who, false); got != basic("second-token") {
		t.Errorf("header is %q", got)
	}
}

func TestATokenFileThatGivesNone(t *testing.T) {
	path := tokenFile(t, "a-token")
	for content, why := range map[string]string{
		"":                            "it is empty",
		" \n":                         "it is empty",
		"null\n":                      `it holds the word "null"`,
		"two words-that-are-secret":   "it holds characters that no token has",
		"\x00\x01binary-secret":       "it holds characters that no token has",
		"\xef\xbb\xbfbom-secret":      "it holds characters that no token has",
		strings.Repeat("x", 65<<10):   "it is too large: 66560 bytes, and the limit is 65536",
		`{"access_token": "a-secret"`: "it holds characters that no token has",
	} {
		who := newIdentity(t, identity.Options{TokenFile: path})
		write(t, path, content)
		_, err := who.Authorization(t.Context(), secret.Text{})
		var file *identity.FileError
		if !errors.As(err, &file) || !file.Permanent() {
			t.Errorf("%.20q: %v is not final", content, err)
		}
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "AZP_TOKEN_FILE") {
			t.Errorf("%.20q: %v, want %s", content, err, why)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%.20q: the error holds what the file holds: %v", content, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	who := newIdentity(t, identity.Options{TokenFile: path})
	if _, err := who.Authorization(t.Context(), secret.Text{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

// While a token file gives no token, the last that worked is used. One that was
// refused is used no more: then a file that is being replaced is waited for.
func TestATokenFileWhileItIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":        os.Remove,
		"empty":       func(path string) error { return os.Truncate(path, 0) },
		"2 GB":        func(path string) error { return os.Truncate(path, 2<<30) },
		"null":        func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
		"a directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"a pipe":      func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"endless":     func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := tokenFile(t, "first-token")
			log := watchFor("using the previous one")
			who := newIdentity(t, identity.Options{TokenFile: path, Log: newLog(log)})
			if got := authorize(t, who, false); got != basic("first-token") {
				t.Errorf("at first the header is %q", got)
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got := authorize(t, who, false); got != basic("first-token") {
					t.Errorf("then the header is %q", got)
				}
			}
			select {
			case <-log.seen:
			default:
				t.Error("it does not say that the file gives no token")
			}
			// It is refused: was it replaced?
			var file *identity.FileError
			if _, err := who.Authorization(t.Context(), secret.New(basic("first-token"))); !errors.As(err, &file) || file.Permanent() {
				t.Errorf("refused: %v, which must not be final", err)
			}
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte("second-token"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if got := authorize(t, who, true); got != basic("second-token") {
				t.Errorf("at last the header is %q", got)
			}
		})
	}
}

// A rotation that truncates the file first takes a moment.
func TestATokenFileThatIsBeingWritten(t *testing.T) {
	path := tokenFile(t, "first-token")
	who := newIdentity(t, identity.Options{TokenFile: path})
	authorize(t, who, false)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { written <- os.WriteFile(path, []byte("second-token"), 0o600) })
	if got := authorize(t, who, true); got != basic("second-token") {
		t.Errorf("the header is %q", got)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// Where something else is written into the file, or a token that does not work,
// the one before it may still work.
func TestTheTokenBefore(t *testing.T) {
	path := tokenFile(t, "first-token")
	who := newIdentity(t, identity.Options{TokenFile: path})
	authorize(t, who, false)
	write(t, path, "wrong-token")
	if got := authorize(t, who, false); got != basic("wrong-token") {
		t.Errorf("the header is %q", got)
	}
	if got := authorize(t, who, true); got != basic("first-token") {
		t.Errorf("once that was refused the header is %q", got)
	}
	if got := authorize(t, who, false); got != basic("first-token") {
		t.Errorf("from then on the header is %q", got)
	}
	write(t, path, "third-token")
	if got := authorize(t, who, false); got != basic("third-token") {
		t.Errorf("after another the header is %q", got)
	}
}

// As in the post: what AZP_TOKEN_FILE holds may be hours old when it is needed
// again, and the identity is asked in its place.
func TestARefusedFileGivesWayToTheNamedIdentity(t *testing.T) {
	token := jwt(time.Hour, "fallback")
	e := newEndpoint(t, gives(token))
	log := watchFor("rejected")
	who := newIdentity(t, identity.Options{TokenFile: tokenFile(t, "stale"), Managed: identity.ManagedID{ObjectID: anObject()}, Log: newLog(log)})
	if got := authorize(t, who, false); got != basic("stale") || len(e.asked()) != 0 {
		t.Errorf("header is %q, the endpoint was asked %d times", got, len(e.asked()))
	}
	if got := authorize(t, who, true); got != "Bearer "+token {
		t.Errorf("header is %q", got)
	}
	if got := authorize(t, who, false); got != "Bearer "+token || who.Source() != identity.ManagedIdentity {
		t.Errorf("header is %q: the refused file is back", got)
	}
	<-log.seen
	if strings.Contains(log.lines.String(), "stale\n") || strings.Count(log.lines.String(), "\n") != 1 {
		t.Errorf("said:\n%s", log.lines.String())
	}
}

// A 401 is about the token that was sent. If the file holds a newer one by then, that is
// tried before the identity is.
func TestANewerTokenInARefusedFile(t *testing.T) {
	token := jwt(time.Hour, "fallback")
	e := newEndpoint(t, gives(token))
	path := tokenFile(t, "stale")
	who := newIdentity(t, identity.Options{TokenFile: path, Managed: identity.ManagedID{ObjectID: anObject()}})
	authorize(t, who, false)
	write(t, path, "newer")
	if got := authorize(t, who, true); got != basic("newer") || len(e.asked()) != 0 || who.Source() != identity.TokenFile {
		t.Errorf("header is %q, the endpoint was asked %d times, the source is %s", got, len(e.asked()), who.Source())
	}
	if got := authorize(t, who, true); got != "Bearer "+token || who.Source() != identity.ManagedIdentity {
		t.Errorf("once that was refused the header is %q of %s", got, who.Source())
	}
}

// Without an identity to give way to, the file is simply read again.
func TestARefusedFileAlone(t *testing.T) {
	path := tokenFile(t, "old-token")
	who := newIdentity(t, identity.Options{TokenFile: path, PAT: secret.New(pat)})
	authorize(t, who, false)
	write(t, path, "new-token")
	if got := authorize(t, who, true); got != basic("new-token") {
		t.Errorf("header is %q", got)
	}
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
