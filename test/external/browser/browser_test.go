package browser

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// With it, light.png is the picture docs/images/keep.png.
var screenshots = flag.String("screenshots", "", "folder to put screenshots into")

// window is a browser tab with the page.
type window struct {
	*testing.T
	ctx context.Context
	s   *stage

	mu       sync.Mutex
	problems []string // errors in the console, and requests to other servers
}

func open(t *testing.T, s *stage) *window {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(timeout),
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	w := &window{T: t, ctx: ctx, s: s}
	chromedp.ListenTarget(ctx, w.record)
	w.run(network.Enable(), log.Enable(), runtime.Enable(), emulation.SetFocusEmulationEnabled(true))
	w.size(1100, 1000, false)
	w.run(chromedp.Navigate(s.page))
	return w
}

// record notes errors and warnings of the console, failed requests, and requests to other servers.
func (w *window) record(event any) {
	wrong := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		wrong = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			wrong = fmt.Sprint("console: ", e.Args)
		}
	case *log.EventEntryAdded:
		wrong = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, w.s.page) {
			wrong = "it asks for " + e.Request.URL
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			wrong = fmt.Sprintf("%d for %s", e.Response.Status, e.Response.URL)
		}
	}
	if wrong != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.problems = append(w.problems, wrong)
	}
}

func (w *window) run(actions ...chromedp.Action) {
	w.Helper()
	w.within(func() error { return chromedp.Run(w.ctx, actions...) })
}

// follow runs an action that loads another page, and waits for that page.
func (w *window) follow(action chromedp.Action) {
	w.Helper()
	w.within(func() error {
		_, err := chromedp.RunResponse(w.ctx, action)
		return err
	})
}

func (w *window) within(do func() error) {
	w.Helper()
	// The first action starts the browser, which runs as long as that action's context: only later
	// actions may have a context of their own.
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if err != nil {
			w.Fatal(err)
		}
	case <-time.After(timeout):
		w.Fatal("the browser does not answer")
	}
}

// until waits for a condition in JavaScript.
func (w *window) until(condition string) {
	w.Helper()
	w.run(chromedp.Poll(condition, nil, chromedp.WithPollingTimeout(timeout), chromedp.WithPollingInterval(50*time.Millisecond)))
}

// ask evaluates JavaScript.
func ask[T any](w *window, expression string) (answer T) {
	w.Helper()
	w.run(chromedp.Evaluate(expression, &answer))
	return answer
}

func (w *window) size(width, height int64, phone bool) {
	w.Helper()
	scale := 1.0
	if phone {
		scale = 2
	}
	w.run(emulation.SetDeviceMetricsOverride(width, height, scale, phone))
}

func (w *window) scheme(name string) {
	w.Helper()
	w.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

func (w *window) shoot(name string) {
	w.Helper()
	if *screenshots == "" {
		return
	}
	var png []byte
	w.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).WithCaptureBeyondViewport(true).Do(ctx)
		return err
	}))
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		w.Fatal(err)
	}
}

// shows waits for a text in an element.
func (w *window) shows(id, text string) {
	w.Helper()
	w.until(fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q)`, id, text))
}

// refresh waits until the keeper has refreshed the pool.
func (w *window) refresh() {
	w.Helper()
	was := ask[string](w, `document.getElementById("p0-note").textContent`)
	w.until(fmt.Sprintf(`document.getElementById("p0-note").textContent !== %q`, was))
}

// TestThePage loads the page once for all subtests, because a browser takes a second to start and a
// keeper refreshes every five.
func TestThePage(t *testing.T) {
	s := newStage(t)
	w := open(t, s)
	w.until(`document.getElementById("live").textContent === "live"`)

	t.Run("contents", func(t *testing.T) { contents(w.in(t)) })
	t.Run("live", func(t *testing.T) { live(w.in(t)) })
	t.Run("hours", func(t *testing.T) { hours(w.in(t)) })
	t.Run("keyboard", func(t *testing.T) { keyboard(w.in(t)) })
	t.Run("looks", func(t *testing.T) { looks(w.in(t)) })
	t.Run("phone", func(t *testing.T) { phone(w.in(t)) })
	t.Run("without JavaScript", func(t *testing.T) { withoutJavaScript(w.in(t)) })

	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.problems {
		t.Errorf("the browser complains: %s", wrong)
	}
}

// TestReconnects: if a proxy has no backend for a while, the browser itself stops retrying, but the
// page does not.
func TestReconnects(t *testing.T) {
	s := newStage(t)
	target, err := url.Parse(s.page)
	if err != nil {
		t.Fatal(err)
	}
	keeper := httputil.NewSingleHostReverseProxy(target)
	keeper.FlushInterval = -1
	var down atomic.Bool
	refused := make(chan struct{}, 100)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "nobody is behind this proxy", http.StatusBadGateway)
			if r.URL.Path == "/events" {
				refused <- struct{}{}
			}
			return
		}
		keeper.ServeHTTP(w, r)
	}))
	s.page = proxy.URL + "/"
	w := open(t, s)
	t.Cleanup(proxy.CloseClientConnections)
	w.until(`document.getElementById("live").textContent === "live"`)
	down.Store(true)
	proxy.CloseClientConnections()
	select {
	case <-refused:
	case <-time.After(timeout):
		t.Fatal("the page does not ask again")
	}
	w.until(`document.getElementById("live").textContent === "not connected, trying again"`)
	down.Store(false)
	w.until(`document.getElementById("live").textContent === "live"`)
}

// TestABusyPool: with 400 agents the page shows the problems first, and its filter finds the other
// agents.
func TestABusyPool(t *testing.T) {
	s := newStage(t, "AZP_KEEP_PRUNE=false")
	s.put(busyPool())
	s.queue("Train a model", "true", "nosuch-cap")
	w := open(t, s)
	w.until(`document.getElementById("p0-tiles").textContent.includes("ghosts40")`) // two of them come from the scene
	w.shows("p0-jobs", "no agent has nosuch-cap")
	if rows := ask[[]string](w, agentNames); len(rows) != 201 || !strings.HasPrefix(rows[0], "ghost-") || !strings.HasPrefix(rows[40], "R&D") {
		t.Errorf("%d rows, the first is %q, the first that is no ghost %q", len(rows), rows[0], rows[40])
	}
	for _, name := range []string{"light", "dark"} {
		w.scheme(name)
		if pale := ask[[]string](w, contrast); len(pale) > 0 {
			t.Errorf("%s: too pale to read: %q", name, pale)
		}
		w.shoot("busy-" + name)
	}
	w.size(390, 844, true)
	if over := ask[int](w, `document.documentElement.scrollWidth - window.innerWidth`); over > 0 {
		t.Errorf("on a phone the page is %d pixels too wide", over)
	}
	w.shoot("busy-phone")
	w.size(1100, 1000, false)

	// A tile shows its agents, a query finds some of them, and new agents pass the filter too.
	w.follow(chromedp.Click(`//dt/a[text()="agents idle"]`, chromedp.BySearch))
	w.until(`location.search === "?state=idle" && document.getElementById("live").textContent === "live"`)
	w.follow(chromedp.SendKeys(`input[name=q]`, "IDLE-1"+kb.Enter, chromedp.ByQuery))
	w.until(`location.search === "?q=IDLE-1&state=idle" && document.getElementById("live").textContent === "live"`)
	_ = ask[bool](w, `window.loadedOnce = true`)
	s.put(`[{"name":"idle-1-new","online":true},{"name":"other-new","online":true}]`)
	w.shows("p0-agents", "idle-1-new")
	rows := ask[[]string](w, agentNames)
	if others := slices.DeleteFunc(rows[:len(rows)-1], func(name string) bool { return strings.HasPrefix(name, "idle-1") }); len(others) > 0 || len(rows) != 56 {
		t.Errorf("%d rows pass the filter, among them %q", len(rows), others)
	}
	if !ask[bool](w, `window.loadedOnce === true`) {
		t.Error("the page was loaded again")
	}
	w.shoot("busy-filter")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.problems {
		t.Errorf("the browser complains: %s", wrong)
	}
}

// agentNames returns the first cells of the table of agents.
const agentNames = `[...document.querySelectorAll("#p0-agents tr")].map(r => r.firstElementChild.textContent)`

// busyPool is a pool of 400 agents with all kinds of problems.
func busyPool() string {
	var agents []string
	add := func(n int, name, more string) {
		for i := range n {
			agents = append(agents, fmt.Sprintf(`{"name":"%s-%03d","createdAgo":"9h","userCapabilities":{"azptend.kind":"agent","azptend.instance":"%s-%d"},%s}`, name, i, name, i, more))
		}
	}
	add(172, "busy", `"changedAgo":"3h","online":true,"job":{"name":"Integration tests"}`)
	add(154, "idle", `"changedAgo":"2h","online":true`)
	add(38, "ghost", `"changedAgo":"3h"`)
	add(36, "offline", `"changedAgo":"5m"`)
	return "[" + strings.Join(agents, ",") + "]"
}

// in returns the same window for a subtest.
func (w *window) in(t *testing.T) *window {
	v := &window{T: t, ctx: w.ctx, s: w.s}
	v.s.t = t
	return v
}

func contents(w *window) {
	w.shows("p0-agents", "linux-builder-1")
	w.shows("p0-agents", "Integration tests")
	w.shows("p0-agents", `R&D <blue> box`)
	w.shows("deeds", `removed agent "linux-builder-x7k2q"`)
	w.shows("deeds", `created placeholder`)
	if n := ask[int](w, `document.querySelectorAll("table blue").length`); n != 0 {
		w.Error("an agent's name has become markup")
	}
}

// live: changes of the pool appear on the page without a reload.
func live(w *window) {
	_ = ask[bool](w, `window.loadedOnce = true`)
	w.s.queue("A job from nowhere", "true")
	w.shows("p0-jobs", "A job from nowhere")
	w.until(`[...document.querySelectorAll("#p0-jobs tr")].some(r => r.textContent.includes("A job from nowhere") && r.textContent.includes("succeeded"))`)
	w.s.put(`[{"name":"a-new-ghost","createdAgo":"9h","changedAgo":"3h","userCapabilities":{"azptend.kind":"agent"}}]`)
	w.shows("deeds", `removed agent "a-new-ghost"`)
	if !ask[bool](w, `window.loadedOnce === true`) {
		w.Error("the page was loaded again")
	}
}

// hours fills the chart: a job keeps the agent busy while another one waits, and the server's clock
// moves forward.
func hours(w *window) {
	started := 1
	for i, wait := range []time.Duration{20, 45, 110, 170, 130, 60, 35, 15} {
		release := filepath.Join(w.s.dir, fmt.Sprint("release-", i))
		w.s.queue("Build and test", fmt.Sprintf("while [ ! -e %s ]; do sleep 0.1; done", release))
		started++
		w.shows("p0-waited", fmt.Sprintf("%d jobs started", started))
		w.s.queue([]string{"Lint", "Package", "Deploy to staging"}[i%3], "true")
		w.s.elapse(wait * time.Second)
		w.refresh()
		if err := os.WriteFile(release, nil, 0o644); err != nil {
			w.Fatal(err)
		}
		started++
		w.shows("p0-waited", fmt.Sprintf("%d jobs started", started))
		w.s.elapse(80 * time.Second)
	}
	w.s.queue("Train a model", "true", "gpu")
	w.s.elapse(75 * time.Second)
	w.shows("p0-jobs", "Train a model")
	w.s.queue("Build and test", "sleep 600")
	w.shows("p0-agents", "Build and test")
	w.refresh()
	if ask[int](w, `document.querySelectorAll("#p0-chart rect").length`) < 5 {
		w.Error("the chart shows no jobs")
	}
}

// keyboard: the first Tab stop skips the header, all stops are visible, and an update does not move
// the focus.
func keyboard(w *window) {
	w.run(chromedp.KeyEvent(kb.Tab))
	if at := ask[string](w, `document.activeElement.className`); at != "skip" {
		w.Errorf("the first stop is %q", at)
	}
	w.run(chromedp.Evaluate(`document.querySelector(".scroll").focus()`, nil))
	w.refresh()
	if at := ask[string](w, `document.activeElement.getAttribute("aria-label")`); at != "Jobs of pool Default" {
		w.Errorf("after a change the focus is at %q", at)
	}
	if style := ask[string](w, `getComputedStyle(document.activeElement).outlineStyle`); style == "none" {
		w.Error("the focus cannot be seen")
	}
	w.run(chromedp.Evaluate(`document.activeElement.blur()`, nil))
}

// looks: light and dark differ, and every text is readable in both.
func looks(w *window) {
	backs := map[string]string{}
	for _, name := range []string{"light", "dark"} {
		w.scheme(name)
		backs[name] = ask[string](w, `getComputedStyle(document.body).backgroundColor`)
		if pale := ask[[]string](w, contrast); len(pale) > 0 {
			w.Errorf("%s: too pale to read: %q", name, pale)
		}
		w.shoot(name)
	}
	if backs["light"] == backs["dark"] {
		w.Errorf("light and dark are both %s", backs["light"])
	}
	w.scheme("light")
}

// contrast finds texts with a contrast of less than 4.5 to 1 to their background (WCAG 1.4.3).
const contrast = `(() => {
  const rgb = c => c.match(/[\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = rgb(c).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!(rgb(c).length > 3 && rgb(c)[3] === 0)) return c; } return "rgb(255,255,255)"; };
  const pale = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].filter(n => n.nodeType === 3 && n.textContent.trim()).map(n => n.textContent.trim()).join(" ");
    if (!own || !e.offsetParent) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) pale.push(own);
  }
  return pale;
})()`

func phone(w *window) {
	w.size(390, 844, true)
	if over := ask[int](w, `document.documentElement.scrollWidth - window.innerWidth`); over > 0 {
		w.Errorf("on a phone the page is %d pixels too wide", over)
	}
	w.shoot("phone")
	w.size(1100, 1000, false)
}

func withoutJavaScript(w *window) {
	w.run(emulation.SetScriptExecutionDisabled(true), chromedp.Reload(), chromedp.WaitVisible("#p0-agents", chromedp.ByID))
	var text string
	w.run(chromedp.Text("main", &text, chromedp.ByQuery))
	for _, want := range []string{"linux-builder-1", "removed agent", "Waiting time"} {
		if !strings.Contains(text, want) {
			w.Errorf("without JavaScript the page lacks %q", want)
		}
	}
	w.run(emulation.SetScriptExecutionDisabled(false))
}
