package emulator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyHolder shares its key with other emulators: creating an RSA key takes 100 ms, and 1 s under
// -race.
var keyHolder = sync.OnceValue(func() *Emulator { return must(New(Options{})) })

// testClock only moves when Advance is called.
func testClock() time.Time { return time.Date(2026, 11, 22, 20, 0, 0, 123456700, time.UTC) }

type world struct {
	*testing.T
	*Emulator
	url    string
	client *http.Client
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	o := Options{KeyOf: keyHolder(), Now: testClock}
	for _, c := range change {
		c(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(e)
	// Without keep-alive, because a client silently repeats a call if a reused connection is closed.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() { e.Close(); srv.Close() })
	return &world{t, e, srv.URL, client}
}

func (w *world) ctx() context.Context { return w.Context() }

// answer is the result of a call, with its body decoded if it is JSON.
type got struct {
	*http.Response
	raw  string
	json any
}

// at returns a value of the decoded body: at("value", 0, "name").
func (g got) at(path ...any) any {
	v := g.json
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			a, _ := v.([]any)
			if p >= len(a) {
				return nil
			}
			v = a[p]
		}
	}
	return v
}

func (g got) text(path ...any) string { s, _ := g.at(path...).(string); return s }
func (g got) num(path ...any) int     { f, _ := g.at(path...).(float64); return int(f) }

// call makes a request. The path is relative to the organisation unless it begins with "!". Headers
// are "Name: value".
func (w *world) call(method, path, auth string, body any, headers ...string) got {
	w.Helper()
	res, err := w.try(w.ctx(), method, path, auth, body, headers...)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

func (w *world) try(ctx context.Context, method, path, auth string, body any, headers ...string) (got, error) {
	target, absolute := strings.CutPrefix(path, "!")
	if !absolute {
		target = "/" + w.opts.Org + "/" + path
	}
	if !strings.HasPrefix(target, "http") {
		target = w.url + target
	}
	var rd io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		rd = strings.NewReader(b)
	default:
		enc, err := json.Marshal(b)
		if err != nil {
			return got{}, err
		}
		rd = bytes.NewReader(enc)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, rd)
	if err != nil {
		return got{}, err
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ":")
		if v = strings.TrimSpace(v); v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	res, err := w.client.Do(req)
	if err != nil {
		return got{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return got{}, err
	}
	g := got{Response: res, raw: string(b)}
	_ = json.Unmarshal(b, &g.json)
	return g, nil
}

// want fails unless the answer has this status.
func (w *world) want(status int, g got) got {
	w.Helper()
	if g.StatusCode != status {
		w.Fatalf("%s %s answered %d, want %d: %s", g.Request.Method, g.Request.URL, g.StatusCode, status, g.raw)
	}
	return g
}

// wantError fails unless the answer is the error object with this type and text.
func (w *world) wantError(status int, typeKey, message string, g got) {
	w.Helper()
	w.want(status, g)
	if g.text("typeKey") != typeKey || message != "" && g.text("message") != message {
		w.Errorf("%s %s answered %s %q, want %s %q", g.Request.Method, g.Request.URL,
			g.text("typeKey"), g.text("message"), typeKey, message)
	}
	if !strings.Contains(g.text("typeName"), "."+typeKey+", ") || g.text("$id") != "1" {
		w.Errorf("not the error envelope: %s", g.raw)
	}
}

func basic(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+password))
}

func (w *world) admin() string { return basic(w.DefaultPAT) }

// bearer is a new token of the default identity, from the identity endpoint.
func (w *world) bearer() string {
	w.Helper()
	return "Bearer " + w.want(200, w.msi("&object_id="+w.defaultOID)).text("access_token")
}

func (w *world) msi(query string) got {
	w.Helper()
	return w.call("GET", "!/msi/token?api-version=2019-08-01&resource="+DevOpsResource+query, "", nil,
		"X-IDENTITY-HEADER: "+w.header)
}

// tokenFor adds an identity and returns its authorization header.
func (w *world) tokenFor(id Identity) string {
	w.Helper()
	if err := w.PutIdentity(id); err != nil {
		w.Fatal(err)
	}
	tok, err := w.IssueToken(id.ObjectID, "")
	if err != nil {
		w.Fatal(err)
	}
	return "Bearer " + tok
}

// waitFor waits for an event of a type.
func (w *world) waitFor(kind string) Event {
	w.Helper()
	ev, err := w.WaitEvent(w.ctx(), 0, func(e Event) bool { return e.Type == kind })
	if err != nil {
		w.Fatal(err)
	}
	return ev
}

const (
	pools  = "_apis/distributedtask/pools"
	agents = pools + "/1/agents"
	v71    = "?api-version=7.1"
	vp     = "?api-version=7.1-preview.1"
)
