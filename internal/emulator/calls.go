package emulator

import (
	"net/http"
	"time"
)

// Call is the record of one call to the identity endpoint or to Azure DevOps. It holds no header and no body, so no
// token either.
type Call struct {
	Seq    uint64    `json:"seq"` // in order of arrival, from 1
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Query  string    `json:"query,omitempty"`
	Status int       `json:"status"`          // 0: under way, or ended without an answer
	Who    string    `json:"who,omitempty"`   // "identity:NAME", "pat:NAME", "agent:NAME", "job:REQUESTID"; empty: nobody known
	Fault  string    `json:"fault,omitempty"` // what was done to it
	Time   time.Time `json:"time"`            // of arrival
	Done   bool      `json:"done"`
	// Held is for how long the rate limit held it back.
	Held time.Duration `json:"held,omitempty"`
	// Duration from arrival to just before the answer is written; nanoseconds in JSON.
	Duration time.Duration `json:"duration"`
}

// maxCalls bounds the records of an emulator that runs for days. The newest are kept.
const maxCalls = 100_000

// recordArrival records a call and counts it against faults and holds; false when the emulator is closed.
func (e *Emulator) recordArrival(r *http.Request) (*Call, interference, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, interference{}, false
	}
	e.lastCall++
	rec := &Call{Seq: e.lastCall, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Time: e.Now()}
	if len(e.calls) >= maxCalls {
		e.calls = append([]*Call(nil), e.calls[len(e.calls)/2:]...)
	}
	e.calls = append(e.calls, rec)
	p := e.interferenceFor(r)
	e.dirty = true
	e.settle()
	return rec, p, true
}

func (e *Emulator) recordEnd(rec *Call, status int, fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rec.Status, rec.Fault, rec.Done = status, fault, true
	rec.Duration = e.Now().Sub(rec.Time)
	e.dirty = true
	e.settle()
	e.opts.Log.Debug("Call", "method", rec.Method, "path", rec.Path, "status", status, "who", rec.Who, "fault", fault)
}

// Calls are the records so far, in order of arrival; those under way have Done false.
func (e *Emulator) Calls() []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return each(e.calls, func(c *Call) Call { return *c })
}

// ClearCalls forgets the records; Seq counts on.
func (e *Emulator) ClearCalls() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = nil
}
