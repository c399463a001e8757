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

// StatusSource is who is asked how it is. Its answers are its loop's own: one that does
// not come means that the loop has stopped.
type StatusSource interface {
	Status(context.Context) (control.Status, error)
}

// Server answers probes and scrapes. It is ready to, before there is any agent.
type Server struct {
	*Metrics
	version string
	agent   atomic.Pointer[StatusSource] // nil: no life has begun
}

// New makes the page of one process.
func New(version string) *Server { return &Server{Metrics: NewMetrics(version), version: version} }

// SetAgent says who is asked from now on.
func (p *Server) SetAgent(a StatusSource) { p.agent.Store(&a) }

// Status is what /status shows: what azptend healthcheck --json does, and the
// version.
type Status struct {
	Version string          `json:"version"`
	Live    bool            `json:"live"`
	Ready   bool            `json:"ready"`
	Error   string          `json:"error,omitempty"`
	Status  *control.Status `json:"status,omitempty"` // nil: no life has begun, or it does not answer
}

func (p *Server) status(ctx context.Context) Status {
	s := Status{Version: p.version, Live: true}
	agent := p.agent.Load()
	if agent == nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, control.ResponseTimeout)
	defer cancel()
	now, err := (*agent).Status(ctx)
	if err != nil {
		s.Live, s.Error = false, fmt.Sprintf("its loop has not answered within %v", control.ResponseTimeout)
		return s
	}
	s.Ready, s.Status = now.Ready, &now
	return s
}

// Handler answers.
func (p *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		s := p.status(r.Context())
		writeProbe(w, s.Live, "alive", s)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		s := p.status(r.Context())
		writeProbe(w, s.Ready, "ready", s)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.status(r.Context()))
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

// writeProbe answers a probe: by the code for the platform, by a line for a person.
func writeProbe(w http.ResponseWriter, green bool, what string, s Status) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !green {
		what = "not " + what
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	switch {
	case s.Error != "":
		fmt.Fprintf(w, "%s: %s\n", what, s.Error)
	case s.Status == nil:
		fmt.Fprintf(w, "%s: no agent's life has begun\n", what)
	default:
		fmt.Fprintf(w, "%s: %v\n", what, s.Status)
	}
}

const (
	// requestTimeout is how long a caller may take to ask, and then to read.
	requestTimeout = 5 * time.Second
)

// Serve answers on a listener until the returned function is called, which leaves
// no connection behind.
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
			log.Warn("Nobody can probe this azptend any more", "error", err)
		}
	}()
	return func() {
		server.Close()
		<-ended
	}
}
