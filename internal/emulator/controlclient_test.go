package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Control is a client of the control API of an emulator in another process. Its methods are those
// of Emulator. It has no state, and is safe for concurrent use.
type Control struct {
	base string
	http *http.Client
}

// NewControl creates a Control for the emulator at baseURL ("http://127.0.0.1:8080"). A nil client
// means one without proxy and timeout. A client with a timeout below 30 s ends long polls early.
func NewControl(baseURL string, client *http.Client) *Control {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	}
	return &Control{strings.TrimRight(baseURL, "/") + "/_emulator", client}
}

// ControlError is an error answer of the control API. A 404 is ErrNotFound.
type ControlError struct {
	Status  int
	Message string
}

func (c *ControlError) Error() string {
	return fmt.Sprintf("emulator answered %d: %s", c.Status, c.Message)
}

// Is lets errors.Is find ErrNotFound and ErrClosed.
func (c *ControlError) Is(target error) bool {
	return target == ErrNotFound && c.Status == http.StatusNotFound ||
		target == ErrClosed && c.Status == http.StatusServiceUnavailable
}

// raw makes a call and returns the body of the answer.
func (c *Control) raw(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("cannot encode %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the emulator: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the emulator: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot read the emulator's answer to %s %s: %w", method, path, err)
	}
	if res.StatusCode/100 != 2 {
		var e struct{ Error string }
		if json.Unmarshal(b, &e) != nil || e.Error == "" {
			e.Error = strings.TrimSpace(string(b))
		}
		return nil, &ControlError{res.StatusCode, e.Error}
	}
	return b, nil
}

func (c *Control) do(ctx context.Context, method, path string, in, out any) error {
	b, err := c.raw(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("cannot read the emulator's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Environment is Emulator.Environment for the URL this Control talks to, and the default PAT.
func (c *Control) Environment(ctx context.Context) (env []EnvVar, pat string, err error) {
	var out struct {
		Environment []EnvVar `json:"environment"`
		PAT         string   `json:"pat"`
	}
	err = c.do(ctx, http.MethodGet, "/environment", nil, &out)
	return out.Environment, out.PAT, err
}

// QueueJob is Emulator.QueueJob.
func (c *Control) QueueJob(ctx context.Context, spec JobSpec) (Job, error) {
	var j Job
	err := c.do(ctx, http.MethodPost, "/jobs", spec, &j)
	return j, err
}

// Job is Emulator.Job.
func (c *Control) Job(ctx context.Context, requestID int64) (Job, error) {
	var j Job
	err := c.do(ctx, http.MethodGet, "/jobs/"+strconv.FormatInt(requestID, 10), nil, &j)
	return j, err
}

// JobLog is Emulator.JobLog.
func (c *Control) JobLog(ctx context.Context, requestID int64) (string, error) {
	b, err := c.raw(ctx, http.MethodGet, "/jobs/"+strconv.FormatInt(requestID, 10)+"/log", nil)
	return string(b), err
}

// CancelJob is Emulator.CancelJob.
func (c *Control) CancelJob(ctx context.Context, requestID int64) error {
	return c.do(ctx, http.MethodPost, "/jobs/"+strconv.FormatInt(requestID, 10)+"/cancel", nil, nil)
}

// AddFault is Emulator.AddFault.
func (c *Control) AddFault(ctx context.Context, f Fault) (string, error) {
	var out struct{ ID string }
	err := c.do(ctx, http.MethodPost, "/faults", f, &out)
	return out.ID, err
}

// Faults is Emulator.Faults.
func (c *Control) Faults(ctx context.Context) ([]Fault, error) {
	var out []Fault
	err := c.do(ctx, http.MethodGet, "/faults", nil, &out)
	return out, err
}

// RemoveFault is Emulator.RemoveFault.
func (c *Control) RemoveFault(ctx context.Context, id string) error {
	path := "/faults"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return c.do(ctx, http.MethodDelete, path, nil, nil)
}

// AddHold is Emulator.AddHold.
func (c *Control) AddHold(ctx context.Context, h Hold) (string, error) {
	var out struct{ ID string }
	err := c.do(ctx, http.MethodPost, "/holds", h, &out)
	return out.ID, err
}

// Release is Emulator.Release.
func (c *Control) Release(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/holds/"+url.PathEscape(id)+"/release", nil, nil)
}

// WaitHold is Emulator.WaitHold.
func (c *Control) WaitHold(ctx context.Context, id string) error {
	for {
		var out struct{ Reached bool }
		if err := c.do(ctx, http.MethodGet, "/holds/"+url.PathEscape(id)+"/reached?wait=30s", nil, &out); err != nil || out.Reached {
			return err
		}
	}
}

// Calls is Emulator.Calls.
func (c *Control) Calls(ctx context.Context) ([]Call, error) {
	var out []Call
	err := c.do(ctx, http.MethodGet, "/calls", nil, &out)
	return out, err
}

// ClearCalls is Emulator.ClearCalls.
func (c *Control) ClearCalls(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "/calls", nil, nil)
}

// Events is Emulator.Events: it waits until there is one.
func (c *Control) Events(ctx context.Context, after uint64) ([]Event, error) {
	for {
		var out []Event
		err := c.do(ctx, http.MethodGet, fmt.Sprintf("/events?after=%d&wait=30s", after), nil, &out)
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
}

// WaitEvent is Emulator.WaitEvent.
func (c *Control) WaitEvent(ctx context.Context, after uint64, match func(Event) bool) (Event, error) {
	for {
		events, err := c.Events(ctx, after)
		if err != nil {
			return Event{}, err
		}
		for _, ev := range events {
			if match(ev) {
				return ev, nil
			}
			after = ev.Seq
		}
	}
}

// State is Emulator.State.
func (c *Control) State(ctx context.Context) (State, error) {
	var s State
	err := c.do(ctx, http.MethodGet, "/state", nil, &s)
	return s, err
}

// PutAgents is Emulator.PutAgents.
func (c *Control) PutAgents(ctx context.Context, specs ...AgentSpec) ([]AgentState, error) {
	var out []AgentState
	err := c.do(ctx, http.MethodPut, "/agents", specs, &out)
	return out, err
}

// PutIdentity is Emulator.PutIdentity.
func (c *Control) PutIdentity(ctx context.Context, id Identity) error {
	return c.do(ctx, http.MethodPut, "/identities/"+url.PathEscape(id.ObjectID), id, nil)
}

// PutPAT is Emulator.PutPAT.
func (c *Control) PutPAT(ctx context.Context, p PAT) (PAT, error) {
	var out PAT
	err := c.do(ctx, http.MethodPut, "/pats", p, &out)
	return out, err
}

// SetAssumptions is Emulator.SetAssumptions.
func (c *Control) SetAssumptions(ctx context.Context, b Assumptions) error {
	return c.do(ctx, http.MethodPut, "/assumptions", b, nil)
}

// SetRateLimit is Emulator.SetRateLimit.
func (c *Control) SetRateLimit(ctx context.Context, l RateLimit) error {
	return c.do(ctx, http.MethodPut, "/ratelimit", l, nil)
}

// Announce is Emulator.Announce.
func (c *Control) Announce(ctx context.Context, a Announcement) (string, error) {
	var out struct{ ID string }
	err := c.do(ctx, http.MethodPost, "/machine/events", a, &out)
	return out.ID, err
}

// EndEvent is Emulator.EndEvent.
func (c *Control) EndEvent(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/machine/events/"+url.PathEscape(id), nil, nil)
}

// Advance is Emulator.Advance.
func (c *Control) Advance(ctx context.Context, d time.Duration) error {
	return c.do(ctx, http.MethodPost, "/clock", map[string]string{"advance": d.String()}, nil)
}

// SetPolicies is Emulator.SetPolicies.
func (c *Control) SetPolicies(ctx context.Context, p Policies) error {
	return c.do(ctx, http.MethodPut, "/policies", p, nil)
}

// PutPool is Emulator.PutPool.
func (c *Control) PutPool(ctx context.Context, spec PoolSpec) error {
	return c.do(ctx, http.MethodPut, "/pools", spec, nil)
}
