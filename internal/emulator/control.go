package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// controlMux is the control API: JSON in and out, the same as the methods of Emulator.
func (e *Emulator) controlMux() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /_emulator/environment", e.ctlEnvironment)
	m.HandleFunc("GET /_emulator/state", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.State(), nil) })

	m.HandleFunc("POST /_emulator/jobs", func(w http.ResponseWriter, r *http.Request) {
		var spec JobSpec
		ctlPost(w, r, &spec, func() (any, error) { return e.QueueJob(spec) })
	})
	m.HandleFunc("GET /_emulator/jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		j, err := e.Job(pathID(r))
		answer(w, j, err)
	})
	m.HandleFunc("GET /_emulator/jobs/{id}/log", e.ctlJobLog)
	m.HandleFunc("POST /_emulator/jobs/{id}/cancel", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, e.CancelJob(pathID(r)))
	})

	m.HandleFunc("POST /_emulator/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		ctlPost(w, r, &f, func() (any, error) { return idOf(e.AddFault(f)) })
	})
	m.HandleFunc("GET /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Faults(), nil) })
	m.HandleFunc("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		e.RemoveFault("")
		answer(w, struct{}{}, nil)
	})
	m.HandleFunc("DELETE /_emulator/faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		e.RemoveFault(r.PathValue("id"))
		answer(w, struct{}{}, nil)
	})
	e.controlHolds(m)
	e.controlRecords(m)
	e.controlWorld(m)
	e.controlPolicies(m)
	return m
}

func (e *Emulator) controlHolds(m *http.ServeMux) {
	m.HandleFunc("POST /_emulator/holds", func(w http.ResponseWriter, r *http.Request) {
		var h Hold
		ctlPost(w, r, &h, func() (any, error) { return idOf(e.AddHold(h)) })
	})
	m.HandleFunc("GET /_emulator/holds", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Holds(), nil) })
	m.HandleFunc("DELETE /_emulator/holds", func(w http.ResponseWriter, _ *http.Request) {
		e.ReleaseAll()
		answer(w, struct{}{}, nil)
	})
	m.HandleFunc("POST /_emulator/holds/{id}/release", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, e.Release(r.PathValue("id")))
	})
	m.HandleFunc("GET /_emulator/holds/{id}/reached", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel, err := waitContext(r, 30*time.Second)
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer cancel()
		err = e.WaitHold(ctx, r.PathValue("id"))
		if errors.Is(err, context.DeadlineExceeded) { // a long poll's end, not a failure
			answer(w, map[string]bool{"reached": false}, nil)
			return
		}
		answer(w, map[string]bool{"reached": true}, err)
	})
}

func (e *Emulator) controlRecords(m *http.ServeMux) {
	m.HandleFunc("GET /_emulator/calls", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Calls(), nil) })
	m.HandleFunc("DELETE /_emulator/calls", func(w http.ResponseWriter, _ *http.Request) {
		e.ClearCalls()
		answer(w, struct{}{}, nil)
	})
	m.HandleFunc("GET /_emulator/events", func(w http.ResponseWriter, r *http.Request) {
		after, err := strconv.ParseUint(orZero(r.URL.Query().Get("after")), 10, 64)
		if err != nil {
			answer(w, nil, errors.New("cannot list events: after is no number"))
			return
		}
		ctx, cancel, err := waitContext(r, 0)
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer cancel()
		events, err := e.Events(ctx, after)
		if errors.Is(err, context.DeadlineExceeded) {
			events, err = []Event{}, nil
		}
		answer(w, events, err)
	})
}

func (e *Emulator) controlWorld(m *http.ServeMux) {
	m.HandleFunc("PUT /_emulator/agents", func(w http.ResponseWriter, r *http.Request) {
		var specs []AgentSpec
		ctlPost(w, r, &specs, func() (any, error) { return e.PutAgents(specs...) })
	})
	m.HandleFunc("PUT /_emulator/identities/{oid}", func(w http.ResponseWriter, r *http.Request) {
		var id Identity
		ctlPost(w, r, &id, func() (any, error) {
			id.ObjectID = r.PathValue("oid")
			return struct{}{}, e.PutIdentity(id)
		})
	})
	m.HandleFunc("GET /_emulator/identities", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Identities(), nil) })
	m.HandleFunc("PUT /_emulator/pats", func(w http.ResponseWriter, r *http.Request) {
		var p PAT
		ctlPost(w, r, &p, func() (any, error) { return e.PutPAT(p) })
	})
	m.HandleFunc("POST /_emulator/tokens", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ ObjectID, Audience, Subject string }
		ctlPost(w, r, &in, func() (any, error) {
			issue := func() (string, error) { return e.IssueToken(in.ObjectID, in.Audience) }
			if in.Subject != "" {
				issue = func() (string, error) { return e.ProjectedToken(in.Subject) }
			}
			token, err := issue()
			return map[string]string{"token": token}, err
		})
	})
	m.HandleFunc("POST /_emulator/clock", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Advance string `json:"advance"`
		}
		ctlPost(w, r, &in, func() (any, error) {
			d, err := parseDuration("advance", in.Advance)
			if err == nil {
				e.Advance(d)
			}
			return map[string]time.Time{"now": e.Now()}, err
		})
	})
	m.HandleFunc("PUT /_emulator/ratelimit", func(w http.ResponseWriter, r *http.Request) {
		var l RateLimit
		ctlPost(w, r, &l, func() (any, error) { return l, e.SetRateLimit(l) })
	})
	m.HandleFunc("POST /_emulator/machine/events", e.announceWith)
	m.HandleFunc("DELETE /_emulator/machine/events/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, e.EndEvent(r.PathValue("id")))
	})
	m.HandleFunc("PUT /_emulator/packages/{kind}/{platform}/{version}", func(w http.ResponseWriter, r *http.Request) {
		archive, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPackage))
		if err == nil {
			e.PutPackage(r.PathValue("kind"), r.PathValue("platform"), r.PathValue("version"), archive)
		}
		answer(w, struct{}{}, err)
	})
	m.HandleFunc("GET /_emulator/assumptions", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Assumptions(), nil) })
	m.HandleFunc("PUT /_emulator/assumptions", func(w http.ResponseWriter, r *http.Request) {
		var b Assumptions
		ctlPost(w, r, &b, func() (any, error) { e.SetAssumptions(b); return b, nil })
	})
}

// maxPackage bounds an archive that is put; the real ones have some 200 MB.
const maxPackage = 1 << 30

// Assumptions are the switches as they are set.
func (e *Emulator) Assumptions() Assumptions {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.assumptions
}

// SetAssumptions sets all switches.
func (e *Emulator) SetAssumptions(b Assumptions) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.assumptions = b
	e.dirty = true
	e.settle()
}

func (e *Emulator) ctlEnvironment(w http.ResponseWriter, r *http.Request) {
	answer(w, environmentJSON{e.Environment(baseOf(r)), e.DefaultPAT()}, nil)
}

type environmentJSON struct {
	Environment []EnvVar `json:"environment"`
	PAT         string   `json:"pat"`
}

func (e *Emulator) ctlJobLog(w http.ResponseWriter, r *http.Request) {
	text, err := e.JobLog(pathID(r))
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}

func pathID(r *http.Request) int64 {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	return id
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

func idOf(id string, err error) (any, error) { return map[string]string{"id": id}, err }

// waitContext bounds a long poll by ?wait=30s; unset is the default given, and 0 looks once.
func waitContext(r *http.Request, unset time.Duration) (context.Context, context.CancelFunc, error) {
	wait, err := parseDuration("wait", r.URL.Query().Get("wait"))
	if err != nil {
		return nil, nil, err
	}
	if r.URL.Query().Get("wait") == "" {
		wait = unset
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	return ctx, cancel, nil
}

// ctlPost decodes the body into in and answers what act returns.
func ctlPost(w http.ResponseWriter, r *http.Request, in any, act func() (any, error)) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields() // a typing error in a test script should not pass as "no fault"
	if err := d.Decode(in); err != nil && !errors.Is(err, io.EOF) {
		answer(w, nil, errors.New("cannot read the body: "+strings.TrimPrefix(err.Error(), "json: ")))
		return
	}
	out, err := act()
	answer(w, out, err)
}

// strictJSON refuses unknown fields, which a decoder forgets about below an UnmarshalJSON.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// answer writes out as JSON, or {"error":"..."} with 404, 503 or 400.
func answer(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	if err != nil {
		out = map[string]string{"error": err.Error()}
		switch {
		case errors.Is(err, ErrNotFound):
			status = http.StatusNotFound
		case errors.Is(err, ErrClosed):
			status = http.StatusServiceUnavailable
		default:
			status = http.StatusBadRequest
		}
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}
