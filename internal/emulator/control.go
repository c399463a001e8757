package emulator

import (
	"cmp"
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
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		m.HandleFunc(method+" /_emulator/"+path, h)
	}
	handle("GET environment", func(w http.ResponseWriter, r *http.Request) {
		answer(w, obj{"environment": e.Environment(newRequest(r, nil).base), "pat": e.DefaultPAT}, nil)
	})
	handle("GET state", gives(e.State))
	handle("POST jobs", takes(func(_ *http.Request, spec JobSpec) (any, error) { return e.QueueJob(spec) }))
	handle("GET jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		j, err := e.Job(pathID(r))
		answer(w, j, err)
	})
	handle("GET jobs/{id}/log", e.ctlJobLog)
	handle("POST jobs/{id}/cancel", does(func(r *http.Request) error { return e.CancelJob(pathID(r)) }))

	handle("GET faults", gives(e.Faults))
	handle("POST faults", takes(func(_ *http.Request, f Fault) (any, error) { return idOf(e.AddFault(f)) }))
	handle("DELETE faults", does(func(*http.Request) error { e.RemoveFault(""); return nil }))
	handle("DELETE faults/{id}", does(func(r *http.Request) error { e.RemoveFault(r.PathValue("id")); return nil }))

	handle("GET holds", gives(e.Holds))
	handle("POST holds", takes(func(_ *http.Request, h Hold) (any, error) { return idOf(e.AddHold(h)) }))
	handle("DELETE holds", does(func(*http.Request) error { e.ReleaseAll(); return nil }))
	handle("POST holds/{id}/release", does(func(r *http.Request) error { return e.Release(r.PathValue("id")) }))
	handle("GET holds/{id}/reached", waits(30*time.Second, obj{"reached": false}, func(ctx context.Context, r *http.Request) (any, error) {
		return obj{"reached": true}, e.WaitHold(ctx, r.PathValue("id"))
	}))

	handle("GET calls", gives(e.Calls))
	handle("DELETE calls", does(func(*http.Request) error { e.ClearCalls(); return nil }))
	handle("GET events", waits(0, []Event{}, func(ctx context.Context, r *http.Request) (any, error) {
		after, err := strconv.ParseUint(cmp.Or(r.URL.Query().Get("after"), "0"), 10, 64)
		if err != nil {
			return nil, errors.New("cannot list events: after is no number")
		}
		return e.Events(ctx, after)
	}))
	e.controlWorld(handle)
	return m
}

// controlWorld adds the part of the API that changes the content of the emulator.
func (e *Emulator) controlWorld(handle func(string, http.HandlerFunc)) {
	handle("PUT agents", takes(func(_ *http.Request, specs []AgentSpec) (any, error) { return e.PutAgents(specs...) }))
	handle("GET identities", gives(e.Identities))
	handle("PUT identities/{oid}", takes(func(r *http.Request, id Identity) (any, error) {
		id.ObjectID = r.PathValue("oid")
		return struct{}{}, e.PutIdentity(id)
	}))
	handle("PUT pats", takes(func(_ *http.Request, p PAT) (any, error) { return e.PutPAT(p) }))
	handle("POST tokens", takes(func(_ *http.Request, in struct{ ObjectID, Audience, Subject string }) (any, error) {
		token, err := "", error(nil)
		if in.Subject != "" {
			token, err = e.ProjectedToken(in.Subject)
		} else {
			token, err = e.IssueToken(in.ObjectID, in.Audience)
		}
		return map[string]string{"token": token}, err
	}))
	handle("POST clock", takes(func(_ *http.Request, in struct{ Advance string }) (any, error) {
		d, err := parseDuration("advance", in.Advance)
		if err == nil {
			e.Advance(d)
		}
		return map[string]time.Time{"now": e.Now()}, err
	}))
	handle("PUT ratelimit", takes(func(_ *http.Request, l RateLimit) (any, error) { return l, e.SetRateLimit(l) }))
	handle("POST machine/events", takes(func(_ *http.Request, a Announcement) (any, error) { return idOf(e.Announce(a)) }))
	handle("DELETE machine/events/{id}", does(func(r *http.Request) error { return e.EndEvent(r.PathValue("id")) }))
	handle("PUT packages/{kind}/{platform}/{version}", func(w http.ResponseWriter, r *http.Request) {
		archive, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPackage))
		if err == nil {
			e.PutPackage(r.PathValue("kind"), r.PathValue("platform"), r.PathValue("version"), archive)
		}
		answer(w, struct{}{}, err)
	})
	handle("GET assumptions", gives(e.Assumptions))
	handle("PUT assumptions", takes(func(_ *http.Request, a Assumptions) (any, error) { e.SetAssumptions(a); return a, nil }))
	handle("GET policies", gives(e.Policies))
	handle("PUT policies", takes(func(_ *http.Request, p Policies) (any, error) { e.SetPolicies(p); return p, nil }))
	handle("PUT pools", takes(func(_ *http.Request, p PoolSpec) (any, error) { return struct{}{}, e.PutPool(p) }))
}

// gives answers what a method returns.
func gives[T any](of func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, of(), nil) }
}

// does answers {} or the error of what it does.
func does(act func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answer(w, struct{}{}, act(r)) }
}

// takes decodes the body, and answers what act returns. A typing error in a test should not pass as "no fault", so
// unknown fields are refused.
func takes[In any](act func(*http.Request, In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			answer(w, nil, errors.New("cannot read the body: "+strings.TrimPrefix(err.Error(), "json: ")))
			return
		}
		out, err := act(r, in)
		answer(w, out, err)
	}
}

// waits answers what wait returns. ?wait=30s bounds the wait, unset is the default, and 0 looks once; late is the answer
// when that time is over.
func waits(unset time.Duration, late any, wait func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := r.URL.Query().Get("wait")
		limit, err := parseDuration("wait", text)
		if err != nil {
			answer(w, nil, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), choose(text == "", unset, limit))
		defer cancel()
		out, err := wait(ctx, r)
		if errors.Is(err, context.DeadlineExceeded) {
			out, err = late, nil
		}
		answer(w, out, err)
	}
}

// maxPackage bounds an archive that is put; the real ones have some 200 MB.
const maxPackage = 1 << 30

// Assumptions returns the current switches.
func (e *Emulator) Assumptions() Assumptions {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.assumptions
}

// SetAssumptions sets all switches.
func (e *Emulator) SetAssumptions(b Assumptions) {
	defer e.change()()
	e.assumptions = b
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

func idOf(id string, err error) (any, error) {
	return map[string]string{"id": id}, err
}

// answer writes out as JSON, or {"error":"..."} with 404, 503 or 400.
func answer(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrClosed):
		status = http.StatusServiceUnavailable
	case err != nil:
		status = http.StatusBadRequest
	}
	if err != nil {
		out = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}
