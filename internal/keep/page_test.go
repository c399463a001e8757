package keep_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"golang.org/x/net/html"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/secret"
)

const evil = `</td><script>alert("1")</script>&"'`

// TestThePage: the page shows the pool's content without JavaScript. No name becomes markup, tables
// have captions and headings, and each id is unique.
func TestThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(append(scene(), ours(evil, online, func(s *emulator.AgentSpec) { s.Job = &emulator.JobSpec{Name: evil, Script: "true"} }))...)
		k, _ := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		w.queue("waits for an agent")
		later(time.Minute)
		body := w.get(k, "/").Body.String()
		text, tags := readPage(t, body)
		for _, want := range append(staying, "waits for an agent", `removed agent "ghost-1"`, evil, "Pool Default", "stays: online") {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
		if strings.Contains(body, "<script>") || tags["script"] != 1 {
			t.Errorf("somebody's name has become markup: %d scripts", tags["script"])
		}
		if tags["style"] != 0 || strings.Contains(body, " style=") {
			t.Error("it has a style that its policy forbids")
		}
		for _, address := range addresses(t, body) {
			if address.tag != "a" || !strings.HasPrefix(address.value+"/", "http://emulator/emulated/") {
				t.Errorf("<%s> has %s, from elsewhere", address.tag, address.value)
			}
		}
		if tags["main"] != 1 || tags["h1"] != 1 || tags["caption"] != tags["table"] || tags["table"] != 2 {
			t.Errorf("its landmarks are %v", tags)
		}
	})
}

type address struct{ tag, value string }

// addresses are the attributes of a page that hold an absolute URL. Only links to the organisation
// may have one.
func addresses(t *testing.T, body string) (all []address) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if strings.Contains(a.Val, "//") || strings.Contains(a.Val, "javascript:") {
				all = append(all, address{n.Data, a.Val})
			}
		}
	}
	return all
}

// readPage returns a page's text and the number of each tag. Each id must be unique.
func readPage(t *testing.T, body string) (text string, tags map[string]int) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	tags = map[string]int{}
	ids := map[string]bool{}
	var words strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			words.WriteString(n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		tags[n.Data]++
		for _, a := range n.Attr {
			if a.Key == "id" && ids[a.Val] {
				t.Errorf("the id %s is there twice", a.Val)
			} else if a.Key == "id" {
				ids[a.Val] = true
			}
		}
	}
	return words.String(), tags
}

// TestALargePool: for 10,000 agents, what is stored and sent is limited, and the page says so.
func TestALargePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var specs []emulator.AgentSpec
		for i := range 1000 {
			specs = append(specs, ours(fmt.Sprint("agent-", i), online))
		}
		w.put(specs...)
		k, _ := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		page := w.get(k, "/")
		if n := page.Body.Len(); n > 100_000 {
			t.Errorf("the page of a thousand agents has %d bytes", n)
		}
		if !strings.Contains(page.Body.String(), "and 800 more") {
			t.Error("it does not say that there are more")
		}
	})
}

func TestReportsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, _ := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		w.away.Store(true)
		later(2 * time.Minute)
		text, _ := readPage(t, w.get(k, "/").Body.String())
		if !strings.Contains(text, "Unreachable since") || !strings.Contains(text, "connection refused") {
			t.Errorf("the page does not say that Azure DevOps is away: %s", text)
		}
		w.away.Store(false)
		later(5 * time.Minute)
		text, _ = readPage(t, w.get(k, "/").Body.String())
		if strings.Contains(text, "Cannot be seen") || !strings.Contains(text, "refresh recovered") {
			t.Errorf("the page does not say that it is back: %s", text)
		}
	})
}

// TestMetricsAreWellMade: Prometheus' own linter reports nothing, and no label has an unbounded set
// of values: no names of agents, jobs or runs, and no arbitrary statuses.
func TestMetricsAreWellMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, o := w.keeper()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		before := series(w.get(k, "/metrics").Body.String())
		w.put(append(scene(), ours(evil))...)
		for i := range 20 {
			w.queue(fmt.Sprint("job ", i))
		}
		for status := range 1000 {
			o.Metrics.Observe(azdo.Observation{Method: "GET", Status: 1000 + status, Throttle: azdo.Throttle{RetryAfter: time.Second, Remaining: "0"}})
		}
		later(time.Hour)
		text := w.get(k, "/metrics").Body.String()
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("the lint says %v %v", problems, err)
		}
		// A DELETE, its status and "other" are new.
		if more := series(text) - before; more > 30 {
			t.Errorf("there are %d more series:\n%s", more, text)
		}
		if strings.Contains(text, "ghost-1") || strings.Contains(text, "job 1") {
			t.Error("a name has become a label")
		}
		if got := w.metric(k, "azptend_azure_devops_throttled_requests_total"); got != "1000" {
			t.Errorf("%s answers asked to slow down", got)
		}
	})
}

// TestDocsNameEachMetric compares docs/keep.md with the metrics.
func TestDocsNameEachMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page, err := os.ReadFile("../../docs/keep.md")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		k := w.scaled()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		families := 0
		for line := range strings.Lines(w.get(k, "/metrics").Body.String()) {
			name, is := strings.CutPrefix(line, "# HELP ")
			if !is {
				continue
			}
			families++
			name, _, _ = strings.Cut(name, " ")
			if !strings.Contains(string(page), "| `"+name+"` |") {
				t.Errorf("docs/keep.md does not name %s", name)
			}
		}
		if rows := strings.Count(string(page), "\n| `azptend_") + strings.Count(string(page), "\n| `process_"); rows != families {
			t.Errorf("docs/keep.md has %d rows, and there are %d metrics", rows, families)
		}
	})
}

func series(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// TestEvents: an open page gets the changes, and nothing else.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	k, _ := w.keeper(func(o *keep.Options) { o.Interval = 10 * time.Millisecond })
	stop := w.start(k)
	defer func() { _ = stop() }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- k.Serve(ctx, listener, secret.Text{}) }()
	resp, err := http.Get("http://" + listener.Addr().String() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	first := nextParts(t, lines)
	if len(first) < 8 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("it begins with %v", first)
	}
	w.queue("a job from nowhere")
	for parts := map[string]string{}; !strings.Contains(parts["p0-jobs"], "a job from nowhere"); {
		parts = nextParts(t, lines)
		if _, sent := parts["p0-agents"]; sent && strings.Contains(first["p0-agents"], "no agents") {
			t.Errorf("what has not changed is sent again: %v", parts["p0-agents"])
		}
	}
	// When the keeper stops, the event stream ends immediately, and so does the server.
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			return
		}
	}
}

func nextParts(t *testing.T, lines *bufio.Reader) map[string]string {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, found := strings.CutPrefix(line, "data: "); found {
			parts := map[string]string{}
			if err := json.Unmarshal([]byte(data), &parts); err != nil {
				t.Fatal(err)
			}
			return parts
		}
	}
}

// TestAccess is the table of allowed and refused requests.
func TestAccess(t *testing.T) {
	const token = "0123456789abcdef"
	w := newWorld(t)
	k, _ := w.keeper()
	for _, tt := range []struct {
		name, token, host, path, header, value string
		want                                   int
	}{
		{"loopback", "", "127.0.0.1:8141", "/", "", "", 200},
		{"localhost", "", "localhost:8141", "/metrics", "", "", 200},
		{"IPv6", "", "[::1]:8141", "/", "", "", 200},
		{"a name that was made to point here", "", "evil.example:8141", "/", "", "", 403},
		{"the same, for events", "", "evil.example", "/events", "", "", 403},
		{"the same, for a probe", "", "10.0.0.7:8141", "/healthz", "", "", 200},
		{"no token", token, "keep:8141", "/", "", "", 401},
		{"no token on loopback", token, "127.0.0.1:8141", "/metrics", "", "", 401},
		{"no token, for a probe", token, "keep:8141", "/readyz", "", "", 503},
		{"bearer", token, "keep:8141", "/metrics", "Authorization", "Bearer " + token, 200},
		{"bearer in lower case", token, "keep:8141", "/metrics", "Authorization", "bearer " + token, 200},
		{"wrong bearer", token, "keep:8141", "/metrics", "Authorization", "Bearer " + token + "x", 401},
		{"empty bearer", token, "keep:8141", "/metrics", "Authorization", "Bearer ", 401},
		{"in the address", token, "keep:8141", "/?token=" + token, "", "", 303},
		{"wrong in the address", token, "keep:8141", "/?token=x", "", "", 401},
		{"the token as a cookie", token, "keep:8141", "/", "Cookie", "azptend_keep=" + token, 401},
		{"nothing else is there", "", "127.0.0.1:8141", "/page/", "", "", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newSnapshot(k, tt.token, tt.host, tt.path, tt.header, tt.value)
			if out.Code != tt.want {
				t.Errorf("it answers %d, want %d: %s", out.Code, tt.want, out.Body)
			}
			if strings.Contains(out.Body.String()+fmt.Sprint(out.Header()), token) {
				t.Error("the token is in the answer")
			}
			if !strings.HasPrefix(out.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Error("it has no policy")
			}
		})
	}
}

func newSnapshot(k *keep.Keeper, token, host, path, header, value string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	if header != "" {
		r.Header.Set(header, value)
	}
	k.Handler(secret.New(token)).ServeHTTP(out, r)
	return out
}

// TestTheCookie: after one request with the token, a browser needs it no more, and the address does
// not contain it.
func TestTheCookie(t *testing.T) {
	const token = "0123456789abcdef"
	w := newWorld(t)
	k, _ := w.keeper()
	in := newSnapshot(k, token, "keep:8141", "/?token="+token, "", "")
	cookies := in.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("the cookies are %v", cookies)
	}
	if to := in.Header().Get("Location"); to != "?" {
		t.Errorf("it leads to %s", to)
	}
	filtered := newSnapshot(k, token, "keep:8141", "/?state=idle&token="+token+"&q=a%26b", "", "")
	if to := filtered.Header().Get("Location"); to != "?q=a%26b&state=idle" {
		t.Errorf("with a filter it leads to %s", to)
	}
	if out := newSnapshot(k, token, "keep:8141", "/", "Cookie", cookies[0].Name+"="+cookies[0].Value); out.Code != http.StatusOK {
		t.Errorf("the cookie is answered with %d", out.Code)
	}
	if out := newSnapshot(k, "another token altogether", "keep:8141", "/", "Cookie", cookies[0].Name+"="+cookies[0].Value); out.Code != http.StatusUnauthorized {
		t.Errorf("another keeper's cookie is answered with %d", out.Code)
	}
}

func TestReadOnly(t *testing.T) {
	w := newWorld(t)
	k, _ := w.keeper()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		out := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/", nil)
		r.Host = "localhost"
		k.Handler(secret.Text{}).ServeHTTP(out, r)
		if out.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s is answered with %d", method, out.Code)
		}
	}
}
