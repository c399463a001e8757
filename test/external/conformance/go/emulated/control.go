package emulated

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// The types below are the parts of the control API that these tests use.

// Job is a job to queue, and its state.
type Job struct {
	Pool    string   `json:"pool,omitempty"`
	Name    string   `json:"name,omitempty"`
	Script  string   `json:"script,omitempty"`
	Demands []string `json:"demands,omitempty"`
	Force   bool     `json:"force,omitempty"` // queue it although no agent of the pool could run it
}

// Event is an entry of the emulator's journal.
type Event struct {
	Seq       uint64    `json:"seq"`
	Type      string    `json:"type"`
	Time      time.Time `json:"time"`
	Pool      string    `json:"pool"`
	Agent     string    `json:"agent"`
	RequestID int64     `json:"requestId"`
	Result    string    `json:"result"`
}

// Fault breaks matching calls.
type Fault struct {
	Method      string            `json:"method,omitempty"`
	Path        string            `json:"path,omitempty"`
	Times       int               `json:"times,omitempty"`
	Status      int               `json:"status,omitempty"`
	Delay       string            `json:"delay,omitempty"` // a duration such as "5s"
	Body        string            `json:"body,omitempty"`
	ContentType string            `json:"contentType,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
}

// Identity is an Entra identity, with its permissions in the organisation.
type Identity struct {
	ObjectID string            `json:"objectId,omitempty"`
	Name     string            `json:"name,omitempty"`
	Kind     string            `json:"kind,omitempty"`
	ClientID string            `json:"clientId,omitempty"`
	Fresh    int               `json:"fresh,omitempty"` // how often adding it to the organisation still fails
	Admin    bool              `json:"admin,omitempty"`
	Tenant   string            `json:"tenant,omitempty"`
	Member   bool              `json:"member"`
	License  string            `json:"license,omitempty"`
	Roles    map[string]string `json:"roles,omitempty"`
	Secret   string            `json:"secret,omitempty"`
	Subject  string            `json:"subject,omitempty"`
}

// Call is one request that the emulator received.
type Call struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query"`
	Status int    `json:"status"`
	Who    string `json:"who"`
}

// State is the current state of the emulator.
type State struct {
	Pools []struct {
		ID     int     `json:"id"`
		Name   string  `json:"name"`
		Agents []Agent `json:"agents"`
	} `json:"pools"`
	Jobs []struct {
		RequestID int64  `json:"requestId"`
		Name      string `json:"name"`
		State     string `json:"state"`
		Result    string `json:"result"`
		Pool      string `json:"pool"`
		Agent     string `json:"agent"`
	} `json:"jobs"`
}

// Agent is an agent in State.
type Agent struct {
	ID               int               `json:"id"`
	Name             string            `json:"name"`
	Enabled          bool              `json:"enabled"`
	Status           string            `json:"status"`
	PendingUpdate    string            `json:"pendingUpdate"`
	UserCapabilities map[string]string `json:"userCapabilities"`
}

// do makes one call to the control API. out may be nil.
func (e *Emulator) do(t testing.TB, method, path string, in, out any) {
	t.Helper()
	if err := e.try(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

func (e *Emulator) try(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, e.URL+"/_emulator"+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// Queue queues a job and returns its request id.
func (e *Emulator) Queue(t testing.TB, j Job) int64 {
	t.Helper()
	var out struct{ RequestID int64 }
	e.do(t, http.MethodPost, "/jobs", j, &out)
	return out.RequestID
}

// TryQueue is like Queue, for a job that may be refused.
func (e *Emulator) TryQueue(j Job) error { return e.try(http.MethodPost, "/jobs", j, nil) }

// Break adds a fault.
func (e *Emulator) Break(t testing.TB, f Fault) {
	t.Helper()
	e.do(t, http.MethodPost, "/faults", f, nil)
}

// RemoveFaults removes all faults.
func (e *Emulator) RemoveFaults(t testing.TB) {
	t.Helper()
	e.do(t, http.MethodDelete, "/faults", nil, nil)
}

// Hold blocks the first matching call until ReleaseHolds.
func (e *Emulator) Hold(t testing.TB, method, path string) {
	t.Helper()
	e.do(t, http.MethodPost, "/holds", map[string]string{"method": method, "path": path}, nil)
}

// ReleaseHolds releases all held calls.
func (e *Emulator) ReleaseHolds(t testing.TB) {
	t.Helper()
	e.do(t, http.MethodDelete, "/holds", nil, nil)
}

// Put adds or replaces an identity.
func (e *Emulator) Put(t testing.TB, id Identity) {
	t.Helper()
	e.do(t, http.MethodPut, "/identities/"+id.ObjectID, id, nil)
}

// Identity returns the identity with this object id, as the emulator knows it.
func (e *Emulator) Identity(t testing.TB, objectID string) Identity {
	t.Helper()
	var all []Identity
	e.do(t, http.MethodGet, "/identities", nil, &all)
	for _, id := range all {
		if id.ObjectID == objectID {
			return id
		}
	}
	t.Fatalf("the emulator has no identity %s", objectID)
	return Identity{}
}

// Token returns an Entra token of an identity, for Azure DevOps or for another audience.
func (e *Emulator) Token(t testing.TB, objectID, audience string) string {
	t.Helper()
	var out struct{ Token string }
	e.do(t, http.MethodPost, "/tokens", map[string]string{"objectId": objectID, "audience": audience}, &out)
	return out.Token
}

// ProjectedToken returns the token that a cluster would project for a workload with this subject.
func (e *Emulator) ProjectedToken(t testing.TB, subject string) string {
	t.Helper()
	token, err := e.TryProjectedToken(subject)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TryProjectedToken is like ProjectedToken, for callers outside the test's goroutine.
func (e *Emulator) TryProjectedToken(subject string) (string, error) {
	var out struct{ Token string }
	err := e.try(http.MethodPost, "/tokens", map[string]string{"subject": subject}, &out)
	return out.Token, err
}

// PATOf creates a personal access token whose owner has this role on all pools, or none.
func (e *Emulator) PATOf(t testing.TB, name, role string) string {
	t.Helper()
	var out struct{ Token string }
	roles := map[string]string{}
	if role != "" {
		roles["*"] = role
	}
	e.do(t, http.MethodPut, "/pats", map[string]any{"name": name, "ownerRoles": roles}, &out)
	return out.Token
}

// Calls returns the requests since the start or the last ForgetCalls.
func (e *Emulator) Calls(t testing.TB) []Call {
	t.Helper()
	var out []Call
	e.do(t, http.MethodGet, "/calls", nil, &out)
	return out
}

// ForgetCalls clears the list of Calls.
func (e *Emulator) ForgetCalls(t testing.TB) {
	t.Helper()
	e.do(t, http.MethodDelete, "/calls", nil, nil)
}

// State is the current state of the emulator.
func (e *Emulator) State(t testing.TB) State {
	t.Helper()
	var out State
	e.do(t, http.MethodGet, "/state", nil, &out)
	return out
}

// Agent returns the agent with this name in any pool, from the emulator's own records.
func (e *Emulator) Agent(t testing.TB, name string) (Agent, bool) {
	t.Helper()
	for _, p := range e.State(t).Pools {
		for _, a := range p.Agents {
			if a.Name == name {
				return a, true
			}
		}
	}
	return Agent{}, false
}

// Events returns all events so far.
func (e *Emulator) Events(t testing.TB) []Event {
	t.Helper()
	var events []Event
	e.do(t, http.MethodGet, "/events?wait=0s", nil, &events)
	return events
}

// LastEvent returns the number of the newest event, 0 if there is none.
func (e *Emulator) LastEvent(t testing.TB) uint64 {
	t.Helper()
	events := e.Events(t)
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

// WaitEvent waits for the first event after number after that match accepts. It waits until the
// test times out: an event that never comes is a failure.
func (e *Emulator) WaitEvent(t testing.TB, after uint64, match func(Event) bool) Event {
	t.Helper()
	for {
		var events []Event
		e.do(t, http.MethodGet, fmt.Sprintf("/events?after=%d&wait=30s", after), nil, &events)
		for _, ev := range events {
			if match(ev) {
				return ev
			}
			after = ev.Seq
		}
	}
}

// WaitEventFor is like WaitEvent, among all events, with a limit: it fails the test when ctx ends,
// or after this time.
func (e *Emulator) WaitEventFor(t testing.TB, ctx context.Context, limit time.Duration, what string, match func(Event) bool) Event {
	t.Helper()
	after := uint64(0)
	for end := time.Now().Add(limit); ; {
		var events []Event
		e.do(t, http.MethodGet, fmt.Sprintf("/events?after=%d&wait=5s", after), nil, &events)
		for _, ev := range events {
			if match(ev) {
				return ev
			}
			after = ev.Seq
		}
		if ctx.Err() != nil || time.Now().After(end) {
			t.Fatalf("waiting for %s: nothing within %v (%v)", what, limit, context.Cause(ctx))
		}
	}
}

// Advance advances the emulator's clock.
func (e *Emulator) Advance(t testing.TB, d time.Duration) {
	t.Helper()
	e.do(t, http.MethodPost, "/clock", map[string]string{"advance": d.String()}, nil)
}

// WaitJob waits for an event of the job: "job.received", "job.started", "job.finished".
func (e *Emulator) WaitJob(t testing.TB, requestID int64, event string) {
	t.Helper()
	e.WaitEvent(t, 0, func(ev Event) bool { return ev.Type == event && ev.RequestID == requestID })
}
