package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} { // which are read once in a process's life
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

const header = "the-platforms-header-secret"

var objects atomic.Int64

// anObject is an object id of its own for each test: the SDK's cache is the
// process's.
func anObject() string { return fmt.Sprintf("0b6bd18c-0000-4000-8000-%012d", objects.Add(1)) }

// endpoint is an identity endpoint of App Service's kind, and the one the
// environment names.
type endpoint struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.requests = append(e.requests, r)
		e.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	inEnvironment(t, e.URL+"/msi/token")
	return e
}

func inEnvironment(t *testing.T, endpoint string) {
	t.Helper()
	for _, stray := range []string{"IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
		t.Setenv(stray, "")
	}
	t.Setenv("IDENTITY_ENDPOINT", endpoint)
	t.Setenv("IDENTITY_HEADER", header)
}

func (e *endpoint) asked() []*http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*http.Request(nil), e.requests...)
}

// jwt is a token that expires in life, with a signature of its own.
func jwt(life time.Duration, signature string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"aud":"%s","exp":%d}`, identity.DevOpsResource, time.Now().Add(life).Unix())) + "." + part(signature)
}

// gives answers with a token, as App Service does.
func gives(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeToken(w, token, fmt.Sprint(inAnHour())) }
}

func inAnHour() int64 { return time.Now().Add(time.Hour).Unix() }

func writeToken(w http.ResponseWriter, token string, expiresOn any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": token, "expires_on": expiresOn, "resource": identity.DevOpsResource, "token_type": "Bearer",
	})
}

// client is the real one; its connections must not outlive the test.
func client(t *testing.T) *http.Client {
	c := httpclient.ForIdentity()
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func newIdentity(t *testing.T, o identity.Options) *identity.Identity {
	t.Helper()
	o.EndpointClient = client(t)
	switch {
	case o.Source != "":
	case o.TokenFile != "":
		o.Source = identity.TokenFile
	case o.Managed.ObjectID != "":
		o.Source = identity.ManagedIdentity
	case !o.PAT.IsZero():
		o.Source = identity.PAT
	}
	who, err := identity.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// authorize asks for a header that must come.
// Fresh says that the one which came last was refused.
func authorize(t *testing.T, who *identity.Identity, fresh bool) string {
	t.Helper()
	var last secret.Text
	if fresh {
		last = refused
		if before, is := lastOf.Load(who); is {
			last = before.(secret.Text)
		}
	}
	text, err := who.Authorization(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	lastOf.Store(who, text)
	return text.Reveal()
}

// lastOf is the header that an identity has given last.
var lastOf sync.Map

// refused is a header that the server has refused.
var refused = secret.New("Bearer refused")

// The request of the post, through the SDK; and no proxy sees it.
func TestTheRequestIsThePosts(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the proxy saw %s %s", r.Method, r.URL)
	}))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	token := jwt(time.Hour, "the post's")
	e := newEndpoint(t, gives(token))
	object := anObject()
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: object}})
	if got := authorize(t, who, false); got != "Bearer "+token {
		t.Errorf("header is %q", got)
	}
	asked := e.asked()
	if len(asked) != 1 {
		t.Fatalf("%d requests", len(asked))
	}
	r := asked[0]
	want := url.Values{"api-version": {"2019-08-01"}, "resource": {"499b84ac-1321-427f-aa17-267ca6975798"}, "object_id": {object}}
	if r.Method != http.MethodGet || r.URL.Path != "/msi/token" || r.URL.Query().Encode() != want.Encode() {
		t.Errorf("asked %s %s, want %s", r.Method, r.URL, want.Encode())
	}
	if got := r.Header.Get("X-Identity-Header"); got != header {
		t.Errorf("X-IDENTITY-HEADER is %q", got)
	}
}

// TestFetchesAreTold: each token once, however often the SDK hands it out, and each
// failure.
func TestFetchesAreTold(t *testing.T) {
	answer := jwt(time.Hour, "first")
	newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if answer == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		gives(answer)(w, r)
	})
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
	var told []string
	who.OnFetch = func(f identity.Fetch) {
		told = append(told, fmt.Sprint(f.Source, f.Err == nil, time.Until(f.Expires) > 50*time.Minute))
	}
	authorize(t, who, false)
	authorize(t, who, false)
	authorize(t, who, true)
	answer = jwt(time.Hour, "second")
	authorize(t, who, true)
	answer = ""
	if _, err := who.Authorization(t.Context(), refused); err == nil {
		t.Error("there is a token")
	}
	want := []string{"managed identitytrue true", "managed identitytrue true", "managed identityfalse false"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// loot is a token that an answer holds in the wrong place.
var loot = jwt(time.Hour, "loot")

// What an endpoint may answer that is no token. The error quotes the endpoint's
// own words, and never a token; the kind of the error survives the SDK.
func TestAnswersWithoutAToken(t *testing.T) {
	const (
		asJSON = "application/json; charset=utf-8"
		asHTML = "text/html; charset=utf-8"
	)
	for _, tt := range []struct {
		name    string
		status  int
		kind    string
		body    string
		says    string
		refused bool
	}{
		{"null", 200, asJSON, `null`, "says 200 and gives no token", true},
		{"an empty object", 200, asJSON, `{}`, "says 200 and gives no token", true},
		{"a null token", 200, asJSON, `{"access_token":null,"refresh_token":"LOOT"}`, "says 200 and gives no token", true},
		{"the word null", 200, asJSON, `{"access_token":"null","id_token":"LOOT"}`, "says 200 and gives no token", true},
		{"an empty token", 200, asJSON, `{"access_token":"","id_token":"LOOT"}`, "gives no token", true},
		{"a number for a token", 200, asJSON, `{"access_token":7,"id_token":"LOOT"}`, "gives no token", true},
		{"a token with a space", 200, asJSON, `{"access_token":"Bearer LOOT"}`, "gives no token", true},
		{"a list", 200, asJSON, `["LOOT"]`, "gives no token: the answer is not a JSON object", true},
		{"half an answer", 200, asJSON, `{"access_token":"LOOT`, "gives no token: the answer is not a JSON object", true},
		{"a page", 200, asHTML, `<html>LOOT</html>`, "gives no token: the answer is text/html, not JSON", true},
		{"nothing", 200, asJSON, ``, "gives no token: the answer is empty", true},
		{"nothing, of no type", 200, "", ``, "gives no token: the answer is empty", true},
		{"an error that is a success", 200, asJSON, `{"error":"invalid_request","error_description":"Identity not found"}`,
			"says 200 invalid_request and gives no token: Identity not found", true},
		{"a success the SDK takes for none", 201, asJSON, `{"access_token":"LOOT","expires_on":"1"}`, "says 201", true},

		{"App Service, 400", 400, asJSON,
			`{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId. LOOT","correlationId":"c0ffee"}`,
			"says 400: No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId. [redacted] (correlation id c0ffee)", true},
		{"App Service, a string for a code", 400, asJSON, `{"statusCode":"BadRequest","message":"no"}`, "says 400 BadRequest: no", true},
		{"Container Apps, 403 without a word", 403, "", ``, "says 403: the answer is empty", true},
		{"Container Apps, 500 invalid_scope", 500, asJSON, `{"error":"invalid_scope","token":"LOOT"}`, "says 500 invalid_scope", false},
		{"404", 404, asHTML, `<html>LOOT`, "says 404: the answer is text/html, not JSON", false},
		{"409", 409, asJSON, `{"error":null,"statusCode":409,"message":"busy"}`, "says 409: busy", true},
		{"410, being updated", 410, asJSON, `{}`, "says 410", false},
		{"429", 429, asJSON, `{"error":"too_many"}`, "says 429 too_many", false},
		{"the metadata service", 400, asJSON, `{"error":"invalid_request","error_description":"Identity not found"}`,
			"says 400 invalid_request: Identity not found", true},
		{"Service Fabric", 404, asJSON, `{"error":{"code":"DefaultIdentityNotDefined","message":"There is no default identity.","inner":"LOOT"}}`,
			"says 404 DefaultIdentityNotDefined: There is no default identity.", false},
		{"a token in a code", 400, asJSON, `{"error":"LOOT"}`, "says 400", true},
		{"a page in a message", 500, asJSON, `{"message":"<html>LOOT</html>"}`, "its message is omitted", false},
		{"a long word in a message", 400, asJSON, `{"message":"no /` + strings.Repeat("x", 200) + ` here"}`, "says 400: no […] here", true},
		{"a redirect", 302, asHTML, `LOOT`, "says 302: the answer is text/html, not JSON", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, strings.ReplaceAll(tt.body, "LOOT", loot))
			})
			who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
			_, err := who.Authorization(t.Context(), secret.Text{})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("says\n\t%v\nwant\n\t%s", err, tt.says)
			}
			for part := range strings.SplitSeq(loot, ".") {
				if strings.Contains(err.Error(), part) {
					t.Errorf("holds a token, or a part of one: %v", err)
				}
			}
			if len(err.Error()) > 600 || strings.Contains(err.Error(), "\n") {
				t.Errorf("is no sentence: %v", err)
			}
			var answer *identity.EndpointError
			if !errors.As(err, &answer) || answer.Status != tt.status || answer.Permanent() != tt.refused {
				t.Errorf("is %+v, want status %d, refused %v", answer, tt.status, tt.refused)
			}
			if n := len(e.asked()); n != 1 {
				t.Errorf("the endpoint was asked %d times: trying again is the caller's", n)
			}
		})
	}
}

// The forms of expires_on that are known to be out there (reference/identity.md 1.1).
func TestOddExpiry(t *testing.T) {
	for name, expiresOn := range map[string]any{
		"a string of digits":           fmt.Sprint(inAnHour()),
		"a number":                     inAnHour(),
		"App Service on Linux, 2017":   time.Now().UTC().Add(time.Hour).Format("01/02/2006 15:04:05 -07:00"),
		"App Service on Windows, 2017": time.Now().UTC().Add(time.Hour).Format("1/2/2006 3:04:05 PM -07:00"),
		"without a zone":               time.Now().UTC().Add(time.Hour).Format("2006-01-02 15:04:05"),
		"RFC 3339":                     time.Now().UTC().Add(time.Hour).Format(time.RFC3339),
		"null":                         nil,
		"empty":                        "",
		"a word":                       "soon",
		"an object":                    map[string]any{"at": 1},
	} {
		t.Run(name, func(t *testing.T) {
			token := jwt(time.Hour, name)
			newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, token, expiresOn) })
			who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
			if got := authorize(t, who, false); got != "Bearer "+token {
				t.Errorf("header is %q", got)
			}
		})
	}
	t.Run("of a token that does not tell itself", func(t *testing.T) {
		newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { writeToken(w, "an-opaque-token", "soon") })
		_, err := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}}).Authorization(t.Context(), secret.Text{})
		if err == nil || strings.Contains(err.Error(), "an-opaque-token") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("a token that has expired by this machine's clock alone", func(t *testing.T) {
		token := jwt(-time.Hour, "good")
		newEndpoint(t, gives(token))
		who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
		who.Now = func() time.Time { return time.Now().Add(-2 * time.Hour) }
		if got := authorize(t, who, false); got != "Bearer "+token {
			t.Errorf("header is %q", got)
		}
	})
	t.Run("a token that has expired by the server's clock alone", func(t *testing.T) {
		token := jwt(time.Hour, "good")
		newEndpoint(t, gives(token))
		who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
		who.Now = func() time.Time { return time.Now().Add(20 * time.Hour) }
		if got := authorize(t, who, false); got != "Bearer "+token {
			t.Errorf("header is %q", got)
		}
	})
	t.Run("a token that has expired", func(t *testing.T) {
		newEndpoint(t, gives(jwt(-time.Hour, "old")))
		_, err := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}}).Authorization(t.Context(), secret.Text{})
		if err == nil || !strings.Contains(err.Error(), "expired 1h0m") || !strings.Contains(err.Error(), "clock") {
			t.Errorf("error is %v", err)
		}
	})
}

// lineWatch is a log that tells when a line holds a word.
type lineWatch struct {
	word  string
	seen  chan struct{}
	once  sync.Once
	lines strings.Builder
}

func watchFor(word string) *lineWatch { return &lineWatch{word: word, seen: make(chan struct{})} }

func (w *lineWatch) Write(p []byte) (int, error) {
	w.lines.Write(p)
	if strings.Contains(string(p), w.word) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

// latePort is an address that is taken, so that no other test gets it, and that
// refuses connections until somebody listens.
func latePort(t *testing.T) (address string, listen func() net.Listener) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "late port")
	t.Cleanup(func() { f.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port), func() net.Listener {
		if err := syscall.Listen(fd, 16); err != nil {
			panic(err)
		}
		l, err := net.FileListener(f)
		if err != nil {
			panic(err)
		}
		return l
	}
}

// A container's endpoint may start after the container (reference/identity.md 1.5).
func TestAnEndpointThatStartsLate(t *testing.T) {
	address, listen := latePort(t)
	inEnvironment(t, "http://"+address+"/msi/token")

	token := jwt(time.Hour, "late")
	waiting := watchFor("Waiting for the identity endpoint")
	started := make(chan *httptest.Server, 1)
	go func() {
		<-waiting.seen
		s := httptest.NewUnstartedServer(gives(token))
		s.Listener.Close()
		s.Listener = listen()
		s.Start()
		started <- s
	}()
	who := newIdentity(t, identity.Options{
		Managed: identity.ManagedID{ObjectID: anObject()}, StartupTimeout: time.Minute, Log: newLog(waiting),
	})
	if got := authorize(t, who, false); got != "Bearer "+token {
		t.Errorf("header is %q", got)
	}
	(<-started).Close()
	if n := strings.Count(waiting.lines.String(), "\n"); n != 1 {
		t.Errorf("said %d lines, want one:\n%s", n, waiting.lines.String())
	}
}

func TestAnEndpointThatNeverStarts(t *testing.T) {
	inEnvironment(t, "http://127.0.0.1:1/msi/token")
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}, StartupTimeout: time.Millisecond})
	_, err := who.Authorization(t.Context(), secret.Text{})
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "cannot reach the identity endpoint at 127.0.0.1:1: ") {
		t.Errorf("error is %v", err)
	}

	// Somebody who waits at a terminal gets the error after one retry.
	who = newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}, StartupTimeout: time.Hour, MaxUnreachable: 2})
	if _, err := who.Authorization(t.Context(), secret.Text{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error is %v", err)
	}

	// The caller's context ends the waiting too, and the error says what for.
	waiting := watchFor("Waiting for the identity endpoint")
	who = newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}, StartupTimeout: time.Hour, Log: newLog(waiting)})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-waiting.seen; cancel() }()
	if _, err := who.Authorization(ctx, secret.Text{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error is %v", err)
	}
}

func TestAnEndpointThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	newEndpoint(t, func(http.ResponseWriter, *http.Request) { cancel(); <-release })
	defer close(release)
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
	if _, err := who.Authorization(ctx, secret.Text{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestFreshGoesPastTheSDKsCache(t *testing.T) {
	var n atomic.Int64
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		gives(jwt(time.Hour, fmt.Sprint("token ", n.Add(1))))(w, r)
	})
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
	first := authorize(t, who, false)
	if again := authorize(t, who, false); again != first || len(e.asked()) != 1 {
		t.Errorf("asked %d times for a token that lives for an hour", len(e.asked()))
	}
	fresh := authorize(t, who, true)
	if fresh == first || len(e.asked()) != 2 {
		t.Errorf("asked %d times, the same token: %v", len(e.asked()), fresh == first)
	}
	if after := authorize(t, who, false); after != fresh {
		t.Error("the refused token is back")
	}
}

func TestTokensAreShownToTheRedactor(t *testing.T) {
	newEndpoint(t, gives("an-opaque-managed-token"))
	var redactor secret.Redactor
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}, Redactor: &redactor})
	header := authorize(t, who, false)
	if got := redactor.Redact("sent " + header); got != "sent Bearer [redacted]" {
		t.Errorf("a log line would say %q", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	newEndpoint(t, func(w http.ResponseWriter, r *http.Request) { gives(jwt(time.Hour, "shared"))(w, r) })
	who := newIdentity(t, identity.Options{Managed: identity.ManagedID{ObjectID: anObject()}})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if _, err := who.Authorization(t.Context(), []secret.Text{refused, {}, {}, {}}[i%4]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
