package keep

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/secret"
)

//go:embed page/page.css page/page.js page/icon.svg
var files embed.FS

// contentSecurityPolicy lets the page load only its own three files and its events. No other
// page may hold it in a frame.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// maxStreams limits how many pages are open at once.
const maxStreams = 64

// pageServer is the keeper's page, metrics and health over HTTP. It changes nothing.
type pageServer struct {
	k       *Keeper
	streams atomic.Int32
}

// Handler serves the page, metrics, health and the scale endpoint. See requireToken: health
// needs no token, and the scale endpoint accepts another one too.
func (k *Keeper) Handler(token secret.Text) http.Handler {
	w := &pageServer{k: k}
	shown := http.NewServeMux()
	shown.HandleFunc("GET /{$}", w.page)
	shown.HandleFunc("GET /events", w.events)
	shown.HandleFunc("GET /metrics", func(out http.ResponseWriter, r *http.Request) {
		for _, s := range k.scalers {
			s.setAge()
		}
		k.o.Metrics.ServeHTTP(out, r)
	})
	own, _ := fs.Sub(files, "page") // of an embedded folder: it is there
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		shown.HandleFunc("GET /"+name, func(out http.ResponseWriter, r *http.Request) { http.ServeFileFS(out, r, own, name) })
	}
	all := k.probes()
	all.Handle("/scale/{group}", w.scale(token))
	all.Handle("/", requireToken(token, shown))
	return withHeaders(all)
}

// probes serves the keeper's health. It shows nothing of the pool.
func (k *Keeper) probes() *http.ServeMux {
	m := http.NewServeMux()
	// A server that does not answer is no reason to restart anything.
	m.HandleFunc("GET /healthz", probe("the refresh loop of a pool has stopped", func() bool { return k.board.stuck(time.Now()) == "" }))
	m.HandleFunc("GET /readyz", probe("not every pool has been read yet", k.board.ready))
	return m
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// probe answers with 200 if all is well, else with 503 and what is wrong.
func probe(problem string, well func() bool) http.HandlerFunc {
	return func(out http.ResponseWriter, _ *http.Request) {
		if !well() {
			http.Error(out, problem, http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(out, "ok\n")
	}
}

func (w *pageServer) page(out http.ResponseWriter, r *http.Request) {
	v, _ := w.k.board.view(time.Now())
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(out, renderPage(v, readFilter(r.URL.Query())))
}

const (
	// keepAlive is for proxies that close a silent connection.
	keepAlive = 15 * time.Second
	// minEventInterval is the least time between two events: a round changes several parts.
	minEventInterval = 200 * time.Millisecond
	// writeTimeout is how long a reader may take nothing.
	writeTimeout = 10 * time.Second
)

// events sends the changed parts of the page, until the reader or the keeper ends.
func (w *pageServer) events(out http.ResponseWriter, r *http.Request) {
	if w.streams.Add(1) > maxStreams {
		w.streams.Add(-1)
		http.Error(out, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer w.streams.Add(-1)
	out.Header().Set("Content-Type", "text/event-stream")
	out.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the events
	last, chosen := map[string]string{}, readFilter(r.URL.Query())
	for {
		v, changed := w.k.board.view(time.Now())
		if err := send(out, newParts(last, renderParts(v, chosen))); err != nil {
			return
		}
		if retry.Sleep(r.Context(), minEventInterval) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-time.After(keepAlive):
		}
	}
}

// newParts are the parts that differ from the last ones sent. It updates those.
func newParts(last, parts map[string]string) map[string]string {
	changed := map[string]string{}
	for id, part := range parts {
		if was, sent := last[id]; !sent || was != part {
			changed[id], last[id] = part, part
		}
	}
	return changed
}

func send(out http.ResponseWriter, parts map[string]string) error {
	rc := http.NewResponseController(out)
	if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	var err error
	if len(parts) == 0 {
		_, err = io.WriteString(out, ": nothing new\n\n")
	} else {
		var data []byte
		if data, err = json.Marshal(parts); err == nil {
			_, err = fmt.Fprintf(out, "event: parts\ndata: %s\n\n", data)
		}
	}
	if err != nil {
		return err
	}
	return rc.Flush()
}

// Serve serves Handler on a listener until ctx ends.
func (k *Keeper) Serve(ctx context.Context, listener net.Listener, token secret.Text) error {
	return serve(ctx, listener, k.Handler(token))
}

// ServeHealth serves the health alone, which needs no token, on a listener until ctx ends.
func (k *Keeper) ServeHealth(ctx context.Context, listener net.Listener) error {
	return serve(ctx, listener, withHeaders(k.probes()))
}

// serve serves until ctx ends, and then closes every connection.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: writeTimeout,
		ReadTimeout:       writeTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
