package azdo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tokens is an Authorizer that counts, and returns another token if one was rejected.
type tokens struct {
	mu    sync.Mutex
	asked []bool
	only  bool // there is no other token
	err   error
}

func (a *tokens) Authorization(_ context.Context, rejected secret.Text) (secret.Text, error) {
	fresh := rejected.Reveal() == "Bearer cached"
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, fresh)
	if fresh && !a.only {
		return secret.New("Bearer fresh"), a.err
	}
	return secret.New("Bearer cached"), a.err
}

// call is a request that the server received.
type call struct {
	Method, Path string
	Query        url.Values
	Body         string
	Header       http.Header
}

// server is an organisation that records requests.
type server struct {
	*httptest.Server
	tokens *tokens
	client *azdo.Client
	mu     sync.Mutex
	calls  []call
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{tokens: &tokens{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.calls = append(s.calls, call{r.Method, r.URL.EscapedPath(), r.URL.Query(), string(body), r.Header})
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	s.client = clientOf(t, s.URL+"/org/", s.tokens)
	return s
}

func clientOf(t *testing.T, base string, who azdo.Authorizer) *azdo.Client {
	c := httpclient.ForAzureDevOps("azptend/test", nil, nil)
	t.Cleanup(c.CloseIdleConnections)
	return azdo.New(base, c, who, nil)
}

func (s *server) seen() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// says answers all requests alike.
func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("ActivityId", "e2e-activity")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const asJSON = "application/json; charset=utf-8; api-version=7.1"

// operations are the client's methods, each on pool 12 and agent 7.
var operations = []struct {
	name   string
	do     func(context.Context, *azdo.Client) error
	answer string
	want   call
}{
	{"FindPool by name", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.FindPool(ctx, azdo.PoolRef{Name: "Büro & Co"})
		return err
	}, `{"count":1,"value":[{"id":12,"name":"BÜRO & co"}]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools", Query: url.Values{"poolName": {"Büro & Co"}, "poolType": {"automation"}}}},
	{"FindPool by id", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.FindPool(ctx, azdo.PoolRef{ID: 12})
		return err
	}, `{"id":12,"name":"Default"}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12"}},
	{"AddAgent", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.AddAgent(ctx, 12, azdo.Agent{
			Name: "a", Version: "4.273.0", MaxParallelism: 1, ProvisioningState: "Provisioned",
			Authorization:    &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: []byte{1, 0, 1}, Modulus: []byte{0xff, 0xfe}}},
			UserCapabilities: map[string]string{"azptend.kind": "agent"},
		})
		return err
	}, `{"id":7}`,
		call{Method: "POST", Path: "/org/_apis/distributedtask/pools/12/agents",
			Body: `{"name":"a","version":"4.273.0","provisioningState":"Provisioned","maxParallelism":1,` +
				`"authorization":{"publicKey":{"exponent":"AQAB","modulus":"//4="}},"userCapabilities":{"azptend.kind":"agent"}}`}},
	{"AgentByName", func(ctx context.Context, c *azdo.Client) error {
		_, _, err := c.AgentByName(ctx, 12, "a b")
		return err
	}, `{"count":0,"value":[]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12/agents", Query: url.Values{"agentName": {"a b"}, "includeCapabilities": {"true"}}}},
	{"Agents", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.Agents(ctx, 12)
		return err
	}, `{"count":0,"value":[]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12/agents",
			Query: url.Values{"includeCapabilities": {"true"}, "includeAssignedRequest": {"true"}}}},
	{"EachAgent", func(ctx context.Context, c *azdo.Client) error {
		return c.EachAgent(ctx, 12, azdo.Include{LastCompletedRequest: true}, func(azdo.Agent) {})
	}, `{"count":0,"value":[]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12/agents", Query: url.Values{"includeLastCompletedRequest": {"true"}}}},
	{"AgentByID whole", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.AgentByID(ctx, 12, 7, azdo.Include{Capabilities: true, AssignedRequest: true})
		return err
	}, `{"id":7}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12/agents/7",
			Query: url.Values{"includeCapabilities": {"true"}, "includeAssignedRequest": {"true"}}}},
	{"SetEnabled true", func(ctx context.Context, c *azdo.Client) error { return c.SetEnabled(ctx, 12, 7, true) }, `{"id":7,"enabled":true}`,
		call{Method: "PATCH", Path: "/org/_apis/distributedtask/pools/12/agents/7", Body: `{"id":7,"enabled":true}`}},
	{"AgentPackages, newest", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.AgentPackages(ctx, "agent", "linux-x64", true)
		return err
	}, `{"count":0,"value":[]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/packages/agent",
			Query: url.Values{"platform": {"linux-x64"}, "$top": {"1"}, "api-version": {"7.1-preview"}}}},
	{"AgentPackages", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.AgentPackages(ctx, "pipelines-agent", "linux-musl-x64", false)
		return err
	}, `{"count":0,"value":[]}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/packages/pipelines-agent",
			Query: url.Values{"platform": {"linux-musl-x64"}, "api-version": {"7.1-preview"}}}},
	{"ReplaceAgent", func(ctx context.Context, c *azdo.Client) error {
		enabled := true
		_, err := c.ReplaceAgent(ctx, 12, azdo.Agent{
			ID: 7, Name: "a", Version: "99.999.9", Enabled: &enabled,
			SystemCapabilities: map[string]string{"Agent.OS": "Linux"}, UserCapabilities: map[string]string{"docker": "true"},
		})
		return err
	}, `{"id":7}`,
		call{Method: "PUT", Path: "/org/_apis/distributedtask/pools/12/agents/7",
			Body: `{"id":7,"name":"a","version":"99.999.9","enabled":true,"systemCapabilities":{"Agent.OS":"Linux"},"userCapabilities":{"docker":"true"}}`}},
	{"AgentByID with request", func(ctx context.Context, c *azdo.Client) error {
		_, err := c.AgentByID(ctx, 12, 7, azdo.Include{AssignedRequest: true})
		return err
	}, `{"id":7}`,
		call{Method: "GET", Path: "/org/_apis/distributedtask/pools/12/agents/7", Query: url.Values{"includeAssignedRequest": {"true"}}}},
	{"SetEnabled false", func(ctx context.Context, c *azdo.Client) error { return c.SetEnabled(ctx, 12, 7, false) }, `{"id":7,"enabled":false}`,
		call{Method: "PATCH", Path: "/org/_apis/distributedtask/pools/12/agents/7", Body: `{"id":7,"enabled":false}`}},
	{"RemoveAgent", func(ctx context.Context, c *azdo.Client) error { return c.RemoveAgent(ctx, 12, 7) }, ``,
		call{Method: "DELETE", Path: "/org/_apis/distributedtask/pools/12/agents/7"}},
}

func TestEachRequest(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			s := newServer(t, says(200, asJSON, op.answer))
			if err := op.do(t.Context(), s.client); err != nil {
				t.Fatal(err)
			}
			calls := s.seen()
			if len(calls) != 1 {
				t.Fatalf("%d requests", len(calls))
			}
			got, want := calls[0], op.want
			wantHeader := map[string]string{
				"Authorization": "Bearer cached", "Accept": "application/json", "User-Agent": "azptend/test",
				"X-Tfs-Fedauthredirect": "Suppress", "Content-Type": "",
			}
			if want.Body != "" {
				wantHeader["Content-Type"] = "application/json; charset=utf-8"
			}
			for name, value := range wantHeader {
				if got.Header.Get(name) != value {
					t.Errorf("%s is %q, want %q", name, got.Header.Get(name), value)
				}
			}
			if want.Query == nil {
				want.Query = url.Values{}
			}
			if !want.Query.Has("api-version") {
				want.Query.Set("api-version", "7.1")
			}
			got.Header = nil
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("request (-want +got):\n%s", d)
			}
		})
	}
}

func TestAnswersAreRead(t *testing.T) {
	const agent = "\xef\xbb\xbf" + `{"id":7,"name":"a","status":"online","enabled":false,"createdOn":"2026-11-22T10:20:30.1234567Z",
		"statusChangedOn":"0001-01-01T00:00:00","unknown":{"deep":[1]},"systemCapabilities":null,
		"authorization":{"clientId":"c0ffee","authorizationUrl":"https://vssps/token","publicKey":{"exponent":"AQAB","modulus":"//4="}},
		"properties":{"ServerUrl":{"$type":"System.String","$value":"https://dev.azure.com/org/"},"Bare":"text"},
		"assignedRequest":{"requestId":890663,"jobId":"j","jobName":"build","data":{"ParallelismTag":"Private"}}}`
	s := newServer(t, says(200, asJSON, agent))
	a, err := s.client.AgentByID(t.Context(), 12, 7, azdo.Include{AssignedRequest: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 22, 10, 20, 30, 123456700, time.UTC); !a.CreatedOn.Equal(want) || !a.StatusChangedOn.IsZero() {
		t.Errorf("times are %v and %v", a.CreatedOn, a.StatusChangedOn)
	}
	if !a.Online() || a.Enabled == nil || *a.Enabled || a.AssignedRequest == nil || a.AssignedRequest.RequestID != 890663 {
		t.Errorf("agent is %+v", a)
	}
	if a.Properties.Text("serverurl") != "https://dev.azure.com/org/" || a.Properties.Text("Bare") != "text" || a.Properties.Text("None") != "" {
		t.Errorf("properties are %s", a.Properties)
	}
	if a.Authorization.ClientID != "c0ffee" || string(a.Authorization.PublicKey.Modulus) != "\xff\xfe" {
		t.Errorf("authorization is %+v", a.Authorization)
	}
}

func TestAListIsReadWhole(t *testing.T) {
	s := newServer(t, says(200, asJSON, `{"count":2,"value":[{"id":1,"name":"a","systemCapabilities":{"Agent.OS":"Linux"}},{"id":2,"name":"b","userCapabilities":null}]}`))
	all, err := s.client.Agents(t.Context(), 12)
	if err != nil || len(all) != 2 || all[0].SystemCapabilities["Agent.OS"] != "Linux" || all[1].ID != 2 {
		t.Errorf("agents are %+v, %v", all, err)
	}
}

func TestPoolsThatAreClosed(t *testing.T) {
	for want, p := range map[string]azdo.Pool{
		"":                      {Options: "none", PoolType: "automation"},
		"its agents are hosted": {IsHosted: true},
		"it is a scale set":     {Options: "elasticPool, singleUseAgents"},
	} {
		if got := p.ClosedReason(); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

// TestByNameIsExact: the server searches for names, so its answer may contain others.
func TestByNameIsExact(t *testing.T) {
	s := newServer(t, says(200, asJSON, `{"value":[{"id":1,"name":"linux-big"},{"id":2,"name":"LINUX"},{"id":3,"name":"linux2"}]}`))
	if p, err := s.client.FindPool(t.Context(), azdo.PoolRef{Name: "linux"}); err != nil || p.ID != 2 {
		t.Errorf("pool %+v, %v", p, err)
	}
	if a, found, err := s.client.AgentByName(t.Context(), 1, "Linux"); err != nil || !found || a.ID != 2 {
		t.Errorf("agent %+v, %v, %v", a, found, err)
	}
	if _, found, err := s.client.AgentByName(t.Context(), 1, "lin"); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	_, err := s.client.FindPool(t.Context(), azdo.PoolRef{Name: "lin"})
	if !errors.Is(err, azdo.ErrNoPool) || !strings.Contains(err.Error(), `find agent pool "lin"`) {
		t.Errorf("error is %v", err)
	}
}

// TestNoPool: the error names the pools that the identity sees.
func TestNoPool(t *testing.T) {
	const gone = `{"message":"No agent pool found with identifier 7.","typeKey":"TaskAgentPoolNotFoundException"}`
	many := `{"value":[{"name":"a"},{"name":"b\nc"},{"name":"d"},{"name":"e"},{"name":"f"},{"name":"g"},{"name":"h"}]}`
	for _, tt := range []struct {
		name string
		all  http.HandlerFunc // the answer to "which pools are there?"
		says string
	}{
		{"it sees none", says(200, asJSON, `{"value":[]}`), ": no such agent pool is visible to this identity, nor is any other"},
		{"it sees another", says(200, asJSON, `{"value":[{"name":"linux"}]}`), ` is visible to this identity, which sees "linux"`},
		{"it sees many", says(200, asJSON, many), `, which sees "a", "b\nc", "d", "e", "f" and 2 more`},
		{"nobody knows", says(503, "", ""), ": no such agent pool is visible to this identity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/pools/7"):
					says(404, asJSON, gone)(w, r)
				case r.URL.Query().Has("poolName"):
					says(200, asJSON, `{"value":[]}`)(w, r)
				default:
					tt.all(w, r)
				}
			})
			_, byName := s.client.FindPool(t.Context(), azdo.PoolRef{Name: "x"})
			_, byID := s.client.FindPool(t.Context(), azdo.PoolRef{ID: 7})
			for want, err := range map[string]error{`cannot find agent pool "x"`: byName, "cannot find agent pool 7": byID} {
				if !errors.Is(err, azdo.ErrNoPool) || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), tt.says) {
					t.Errorf("error is %v", err)
				}
			}
		})
	}
	s := newServer(t, says(404, "text/html", "<html>")) // a page does not say that the pool is missing
	if _, err := s.client.FindPool(t.Context(), azdo.PoolRef{ID: 7}); errors.Is(err, azdo.ErrNoPool) || azdo.Status(err) != 404 {
		t.Errorf("error is %v", err)
	}
}

func TestErrors(t *testing.T) {
	const unauthorized = `{"$id":"1","innerException":null,"message":"TF401444: Please sign-in at least once as t\\t\\o in a web browser to enable access to the service.",` +
		`"typeName":"Microsoft.TeamFoundation.Framework.Server.UnauthorizedRequestException, Microsoft.TeamFoundation.Framework.Server","typeKey":"UnauthorizedRequestException","errorCode":0,"eventId":3000}`
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		status int
		key    string
		says   string
		signIn bool
	}{
		{"an envelope", says(403, asJSON, `{"message":"Access denied. x needs Manage permissions for pool p","typeKey":"AccessDeniedException"}`),
			403, "AccessDeniedException", "Azure DevOps says 403: Access denied. x needs Manage permissions for pool p (AccessDeniedException, activity e2e-activity)", false},
		{"an envelope behind a BOM, on two lines", says(409, asJSON, "\xef\xbb\xbf{\"message\":\"Pool 12 already\\r\\ncontains\",\"typeKey\":\"TaskAgentExistsException\"}"),
			409, "taskagentexistsexception", "says 409: Pool 12 already contains (", false},
		{"the form for requests without sense", says(400, asJSON, `{"count":1,"value":{"Message":"The request is invalid."}}`), 400, "", "says 400: The request is invalid.", false},
		{"an identity that is no user", says(401, asJSON, unauthorized), 401, "UnauthorizedRequestException", `once as t\t\o in`, false},
		{"an empty 401", says(401, "", ""), 401, "", "says 401 Unauthorized (activity", false},
		{"a broken envelope", says(500, asJSON, `{"message":`), 500, "", "says 500 Internal Server Error", false},
		{"an envelope of other types", says(500, asJSON, `{"message":{"deep":1}}`), 500, "", "says 500 Internal Server Error", false},
		{"text", says(503, "text/plain", "Service\nunavailable"), 503, "", "says 503: Service unavailable", false},
		{"a page of an organisation there is not", says(404, "text/html; charset=utf-8", "<html>"), 404, "", "says 404 Not Found", false},
		{"a sign-in page as a 203", says(203, "text/html; charset=utf-8", "<html>"), 401, "", "the answer is a sign-in page", true},
		{"a sign-in page as a 200", says(200, "text/html", "<html>"), 401, "", "the answer is a sign-in page", true},
		{"a redirect to sign-in", redirect("https://spsprodeus27.vssps.visualstudio.com/_signin?realm=dev.azure.com&reply_to=x"), 401, "", "the answer is a sign-in page", true},
		{"a redirect to Entra", redirect("https://login.microsoftonline.com/tenant/oauth2/authorize?client_id=x"), 401, "", "the answer is a sign-in page", true},
		{"a redirect to elsewhere", redirect("https://example.com/org?token=hidden"), 302, "", "says 302: it redirects to https://example.com/org (", false},
		{"a success of a proxy's own", says(200, "text/plain", "welcome to the airport"), 200, "", "the answer is not JSON", false},
		{"a long message", says(400, asJSON, `{"message":"`+strings.Repeat("ä", 5000)+`"}`), 400, "", "äää…", false},
	} {
		for _, op := range operations {
			t.Run(tt.name+"/"+op.name, func(t *testing.T) {
				s := newServer(t, tt.answer)
				err := op.do(t.Context(), s.client)
				var e *azdo.Error
				if !errors.As(err, &e) {
					t.Fatalf("error is %T %v", err, err)
				}
				if e.Status != tt.status || azdo.Status(err) != tt.status || azdo.Is(err, tt.key) != true {
					t.Errorf("is %d %q, want %d %q", e.Status, e.TypeKey, tt.status, tt.key)
				}
				if e.ActivityID != "e2e-activity" || errors.Is(err, azdo.ErrSignIn) != tt.signIn {
					t.Errorf("activity %q, sign-in %v", e.ActivityID, errors.Is(err, azdo.ErrSignIn))
				}
				if text := err.Error(); !strings.Contains(text, tt.says) || !strings.HasPrefix(text, "cannot ") ||
					strings.ContainsAny(text, "\r\n") || strings.Contains(text, "hidden") || len(text) > 600 {
					t.Errorf("says\n\t%s\nwant\n\t%s", text, tt.says)
				}
				// After a 401 the request is repeated with a fresh token, once.
				want := []bool{false}
				if tt.status == 401 {
					want = []bool{false, true}
				}
				if !slices.Equal(s.tokens.asked, want) || len(s.seen()) != len(want) {
					t.Errorf("tokens asked for %v, %d requests", s.tokens.asked, len(s.seen()))
				}
			})
		}
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to)
		says(302, "text/html", "<html>Object moved")(w, r)
	}
}

func TestAFreshTokenHelps(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			says(401, "", "")(w, r)
			return
		}
		says(200, asJSON, `{"id":7}`)(w, r)
	})
	if _, err := s.client.AgentByID(t.Context(), 12, 7, azdo.Include{AssignedRequest: true}); err != nil {
		t.Error(err)
	}
	if calls := s.seen(); len(calls) != 2 {
		t.Errorf("%d requests", len(calls))
	}
}

// TestTheOnlyTokenIsSentAgain: an identity with a single token, such as a PAT, sends it once
// more after a 401, because the service may have been in trouble.
func TestTheOnlyTokenIsSentAgain(t *testing.T) {
	s := newServer(t, says(401, "", ""))
	s.tokens.only = true
	if _, err := s.client.AgentByID(t.Context(), 12, 7, azdo.Include{AssignedRequest: true}); azdo.Status(err) != 401 {
		t.Errorf("error is %v", err)
	}
	if calls := s.seen(); len(calls) != 2 || !slices.Equal(s.tokens.asked, []bool{false, true}) {
		t.Errorf("%d requests, tokens asked for %v", len(calls), s.tokens.asked)
	}
}

func TestAuthorizeSendsNothing(t *testing.T) {
	s := newServer(t, says(200, asJSON, `{}`))
	if err := s.client.Authorize(t.Context()); err != nil || len(s.seen()) != 0 {
		t.Errorf("%v, %d requests", err, len(s.seen()))
	}
	s.tokens.err = errors.New("the identity endpoint says 400")
	if err := s.client.Authorize(t.Context()); !errors.Is(err, s.tokens.err) || err.Error() != "cannot log on to Azure DevOps: the identity endpoint says 400" {
		t.Errorf("error is %v", err)
	}
}

func TestWithoutAToken(t *testing.T) {
	s := newServer(t, says(200, asJSON, `{}`))
	s.tokens.err = errors.New("the identity endpoint says 400")
	err := s.client.RemoveAgent(t.Context(), 12, 7)
	var e *azdo.TokenError
	if !errors.As(err, &e) || !errors.Is(err, s.tokens.err) || err.Error() != "cannot remove agent 7 from pool 12: the identity endpoint says 400" {
		t.Errorf("error is %v", err)
	}
	if len(s.seen()) != 0 || len(s.tokens.asked) != 1 {
		t.Errorf("%d requests, %d tokens", len(s.seen()), len(s.tokens.asked))
	}
}

// TestSuccessWithoutABody: a 204 and an empty 200 have no body.
func TestSuccessWithoutABody(t *testing.T) {
	for _, status := range []int{200, 204} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if err := s.client.RemoveAgent(t.Context(), 12, 7); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestAnAnswerThatNamesNoAgent: an answer to the POST without an agent is a lost answer.
func TestAnAnswerThatNamesNoAgent(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `{"id":0}`, `{"id":`, `[]`, ``} {
		s := newServer(t, says(200, asJSON, body))
		_, err := s.client.AddAgent(t.Context(), 12, azdo.Agent{Name: "a"})
		var e *azdo.Error
		if !errors.As(err, &e) || e.Status != 0 || !e.Sent || !strings.Contains(err.Error(), "answer is invalid: ") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestSent: Sent says whether the server may have acted.
func TestSent(t *testing.T) {
	drop := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id":7`)
	}
	const refuses = "http://127.0.0.1:1" // not a port that was closed: another test may get it
	for _, tt := range []struct {
		name string
		base string
		sent bool
	}{
		{"closed after reading", newServer(t, drop).URL, true},
		{"closed in the middle of the answer", newServer(t, half).URL, true},
		{"refused", refuses, false},
		{"a name there is not", "http://azptend.invalid", false},
		{"an address that is none", "http://127.0.0.1/%zz", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := clientOf(t, tt.base, &tokens{}).AddAgent(t.Context(), 12, azdo.Agent{Name: "a"})
			var e *azdo.Error
			if err == nil || (errors.As(err, &e) && (e.Sent != tt.sent || e.Status != 0 || e.Cause == nil)) || (e == nil && tt.sent) {
				t.Errorf("error is %+v", err)
			}
			if strings.Contains(err.Error(), "http://") && e != nil {
				t.Errorf("repeats the URL: %v", err)
			}
		})
	}
	if _, err := clientOf(t, refuses, &tokens{}).AddAgent(t.Context(), 12, azdo.Agent{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error is %v", err)
	}
}

func TestTheCallersContextEndsACall(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("there is no time left")
	release := make(chan struct{})
	s := newServer(t, func(http.ResponseWriter, *http.Request) { cancel(enough); <-release })
	defer close(release)
	err := s.client.RemoveAgent(ctx, 12, 7)
	var e *azdo.Error
	if !errors.As(err, &e) || !e.Sent || !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
	if err := s.client.RemoveAgent(ctx, 12, 7); !errors.As(err, &e) || e.Sent || !errors.Is(err, enough) || len(s.seen()) != 1 {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestObservations(t *testing.T) {
	s := newServer(t, says(204, "", ""))
	var got []string
	c := azdo.New(s.URL, http.DefaultClient, s.tokens, func(o azdo.Observation) {
		got = append(got, fmt.Sprintf("%s %s %d %v", o.Method, o.Path, o.Status, o.Duration >= 0 && (o.Throttle == azdo.Throttle{})))
	})
	defer http.DefaultClient.CloseIdleConnections()
	_ = c.RemoveAgent(t.Context(), 12, 7)
	s.Close()
	_ = c.RemoveAgent(t.Context(), 12, 8)
	want := []string{"DELETE _apis/distributedtask/pools/12/agents/7 204 true", "DELETE _apis/distributedtask/pools/12/agents/8 0 true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{`"2026-11-22T10:20:30.1234567Z"`, `"0001-01-01T00:00:00"`, `null`, `7`, `"yesterday"`, `""`, `"2026-11-22T10:20:30+02:00"`, `"2026-11-22T10:20:30.12"`, `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return
		}
		var a azdo.Agent
		if err := json.Unmarshal(fmt.Appendf(nil, `{"id":7,"createdOn":%s}`, b), &a); err != nil || a.ID != 7 {
			t.Fatalf("a date broke the agent: %v", err)
		}
		out, err := json.Marshal(a.CreatedOn)
		if err != nil {
			return // a year JSON cannot hold
		}
		var again azdo.Time
		if err := json.Unmarshal(out, &again); err != nil || !again.Equal(a.CreatedOn.Time) {
			t.Errorf("%s: %v became %v by way of %s", b, a.CreatedOn, again, out)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(`{"ServerUrl":{"$type":"System.String","$value":"x"}}`), "ServerUrl", "https://server/")
	f.Add([]byte(`{"ServerUrl":7,"serverurl":["x"]}`), "x", "")
	f.Fuzz(func(t *testing.T, b []byte, name, value string) {
		var p azdo.Properties
		if json.Unmarshal(b, &p) == nil {
			_ = p.Text(name)
		}
		for _, form := range []any{value, map[string]string{"$type": "System.String", "$value": value}} {
			wire, _ := json.Marshal(map[string]any{name: form})
			var p azdo.Properties
			if err := json.Unmarshal(wire, &p); err != nil {
				t.Fatal(err)
			}
			if got := p.Text(strings.ToValidUTF8(name, "\ufffd")); got != strings.ToValidUTF8(value, "\ufffd") && name == strings.ToValidUTF8(name, "") && value == strings.ToValidUTF8(value, "") {
				t.Errorf("%q of %s is %q", name, wire, got)
			}
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add(500, asJSON, []byte(`{"message":"m","typeKey":"k"}`), "https://x/_signin")
	f.Add(302, "text/html", []byte(`<html>`), "::")
	f.Add(203, "", []byte("\xef\xbb\xbf"), "")
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte, location string) {
		if status < 200 || status > 599 {
			return
		}
		c := azdo.New("http://server", &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: answering(func(r *http.Request) *http.Response {
				return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Content-Type": {kind}, "Location": {location}},
					Body: io.NopCloser(strings.NewReader(string(body)))}
			})}, &tokens{}, nil)
		_, err := c.AgentByID(t.Context(), 1, 2, azdo.Include{AssignedRequest: true})
		if err == nil {
			if status/100 != 2 || status == 203 {
				t.Errorf("%d is a success", status)
			}
			return
		}
		if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 1200 {
			t.Errorf("says %q", text)
		}
	})
}
