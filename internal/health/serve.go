// Package health serves probes, a status and metrics of a running azptend over HTTP. It
// changes nothing: it asks the agent for its status, and counts what it observes.
//
// # Who may ask
//
// Anybody who reaches the address: a kubelet's probe and a scrape carry no secret. The
// responses show the names of the agent and its pool, times and counts, and no secret.
// Only GET is allowed. Each connection is closed after one response, and each part of
// it has a timeout, so that nobody blocks the next probe for long.
//
// # What the probes mean
//
// /healthz is azptend healthcheck: it succeeds in every phase, also before an agent has
// started (an agent package is being installed) and during a drain. It fails only if
// the loop does not answer. A platform may then kill azptend, and its job. /readyz
// succeeds while the agent listens for jobs or runs one; with several agents, while all
// do.
//
// # What the metrics mean
//
// Each metric about one agent has its name as a label, because one process may run
// several agents. All other labels have fixed values. docs/metrics.md lists the metrics,
// and a test compares it.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/control"
)

// StatusSource answers with an agent's status. The answer comes from its loop: if none
// comes, the loop is stuck.
type StatusSource interface {
	Status(context.Context) (control.Status, error)
}

// Server answers probes and scrapes, also before any agent has started.
type Server struct {
	*Metrics
	version string
	agent   atomic.Pointer[StatusSource] // nil: no agent has started
}

// New returns the server of one process.
func New(version string) *Server { return &Server{Metrics: NewMetrics(version), version: version} }

// SetAgent sets the agent that status and probes are about.
func (p *Server) SetAgent(a StatusSource) { p.agent.Store(&a) }

func (p *Server) health(ctx context.Context) control.Health {
	h := control.Health{Version: p.version, Live: true}
	agent := p.agent.Load()
	if agent == nil {
		return h
	}
	ctx, cancel := context.WithTimeout(ctx, control.ResponseTimeout)
	defer cancel()
	status, err := (*agent).Status(ctx)
	if err != nil {
		h.Live, h.Error = false, fmt.Sprintf("its loop has not answered within %v", control.ResponseTimeout)
		return h
	}
	h.Ready, h.Status = status.Ready, &status
	return h
}

// Handler serves the four paths.
func (p *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, ready := range map[string]bool{"GET /healthz": false, "GET /readyz": true} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			ok, line := p.health(r.Context()).Probe(ready)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			if !ok {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprintln(w, line)
		})
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.health(r.Context()))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		p.flushPhaseTime()
		p.Metrics.ServeHTTP(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// requestTimeout is how long a caller may take to send a request, and then to read the
// response.
const requestTimeout = 5 * time.Second

// Serve answers on a listener until the returned function is called, which closes all
// connections.
func (p *Server) Serve(l net.Listener, log *slog.Logger) (done func()) {
	server := &http.Server{
		Handler:           p.Handler(),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      control.ResponseTimeout + requestTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(connlimit.Limit(l)); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("Health server failed", "error", err)
		}
	}()
	return func() {
		server.Close()
		<-ended
	}
}
