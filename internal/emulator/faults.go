package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where a fault drops the answer.
const (
	DropBefore = "before" // the connection is closed before the server acts
	DropAfter  = "after"  // the server acts, then the connection is closed
)

// Fault is something that goes wrong with matching calls. Status, Body, ContentType and Headers make an answer that
// the server gives without acting, or, with Acts, after it acted. Delay is in real time, comes first, and adds up over all
// matching faults. Everything else comes from the first matching fault.
type Fault struct {
	ID     string `json:"id,omitempty"`     // set by AddFault when empty
	Method string `json:"method,omitempty"` // empty: any
	Path   string `json:"path,omitempty"`   // regular expression, found anywhere in path?query, case ignored; empty: any
	Nth    int    `json:"nth,omitempty"`    // the first matching call it happens to, from 1; default 1
	Times  int    `json:"times,omitempty"`  // to how many matching calls in a row; 0: to all

	Status      int               `json:"status,omitempty"`
	Body        string            `json:"body,omitempty"`
	ContentType string            `json:"contentType,omitempty"` // default application/json when there is a body
	Headers     map[string]string `json:"headers,omitempty"`
	Delay       time.Duration     `json:"-"`              // in JSON a duration such as "80ms"
	Acts        bool              `json:"acts,omitempty"` // the server acts, and then gives that answer
	DropAnswer  string            `json:"dropAnswer,omitempty"`
	Reset       bool              `json:"reset,omitempty"` // close by RST; with no DropAnswer before the server acts

	Seen  int `json:"seen,omitempty"`  // matching calls so far; ignored by AddFault
	Fired int `json:"fired,omitempty"` // those it happened to
}

// wire is the fault in JSON.
func (f *Fault) wire() any {
	type plain Fault
	return &struct {
		*plain
		Delay *duration `json:"delay,omitzero"`
	}{(*plain)(f), (*duration)(&f.Delay)}
}

// MarshalJSON writes Delay as "80ms".
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(f.wire())
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Fault) UnmarshalJSON(b []byte) error {
	return strictJSON(b, f.wire())
}

func (f *Fault) validate() error {
	switch {
	case f.DropAnswer != "" && f.DropAnswer != DropBefore && f.DropAnswer != DropAfter:
		return fmt.Errorf("dropAnswer is %q, not %q or %q", f.DropAnswer, DropBefore, DropAfter)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status is %d, not between 200 and 599", f.Status)
	case !f.disturbs() && f.Delay == 0:
		return fmt.Errorf("it does nothing: set status, delay, dropAnswer or reset")
	case f.Nth < 0 || f.Times < 0:
		return fmt.Errorf("nth and times are not negative")
	}
	return nil
}

// answers reports whether the fault has an answer of its own.
func (f *Fault) answers() bool {
	return f.Status != 0 || f.Body != "" || len(f.Headers) > 0
}

// disturbs reports whether the fault does more than delay.
func (f *Fault) disturbs() bool {
	return f.answers() || f.DropAnswer != "" || f.Reset
}

func (f *Fault) reply() reply {
	out := reply{status: cmp.Or(f.Status, http.StatusOK), header: http.Header{}, contentType: f.ContentType, body: []byte(f.Body)}
	if out.contentType == "" && f.Body != "" {
		out.contentType = jsonType
	}
	for k, v := range f.Headers {
		out.header.Set(k, v)
	}
	return out
}

// matcher selects the calls of a fault or a hold.
type matcher struct {
	method string
	path   *regexp.Regexp
}

func newMatcher(method, path string) (matcher, error) {
	re, err := regexp.Compile("(?i)" + path)
	if err != nil {
		return matcher{}, fmt.Errorf("the path is no regular expression: %w", err)
	}
	return matcher{strings.ToUpper(method), re}, nil
}

func (m matcher) matches(r *http.Request) bool {
	return (m.method == "" || m.method == r.Method) && m.path.MatchString(r.URL.RequestURI())
}

type faultState struct {
	Fault
	matcher
}

// AddFault adds a fault and returns its id.
func (e *Emulator) AddFault(f Fault) (string, error) {
	m, err := newMatcher(f.Method, f.Path)
	if err == nil {
		err = f.validate()
	}
	if err != nil {
		return "", fmt.Errorf("cannot add the fault: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.ID == "" {
		f.ID = e.hookID("fault")
	}
	f.Nth, f.Seen, f.Fired = max(f.Nth, 1), 0, 0
	e.faults = append(e.faults, &faultState{f, m})
	return f.ID, nil
}

// hookID names faults and holds in the order they are added.
func (e *Emulator) hookID(kind string) string {
	e.lastHook++
	return kind + "-" + strconv.Itoa(e.lastHook)
}

// Faults returns all faults, also those that fire no more, with their counts.
func (e *Emulator) Faults() []Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	return each(e.faults, func(f *faultState) Fault { return f.Fault })
}

// RemoveFault removes the fault with this id, or all faults for "".
func (e *Emulator) RemoveFault(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = slices.DeleteFunc(e.faults, func(f *faultState) bool { return id == "" || f.ID == id })
}

// interference is what faults and holds do to one call. It is decided on arrival, so that "the n-th" is the n-th to arrive.
type interference struct {
	delay time.Duration
	fault *Fault
	holds []*holdState
}

// interferenceFor counts the call against every fault and hold; mu is held.
func (e *Emulator) interferenceFor(r *http.Request) interference {
	var p interference
	for _, f := range e.faults {
		if !f.matches(r) {
			continue
		}
		f.Seen++
		if f.Seen < f.Nth || f.Times > 0 && f.Seen >= f.Nth+f.Times {
			continue
		}
		if f.disturbs() && p.fault != nil {
			continue // an earlier fault decides what happens
		}
		f.Fired++
		p.delay += f.Delay
		if f.disturbs() {
			mine := f.Fault
			p.fault = &mine
		}
	}
	for _, h := range e.holds {
		if h.matches(r) {
			if h.seen++; h.seen == h.Nth {
				p.holds = append(p.holds, h)
			}
		}
	}
	return p
}

// describe says for the record what was done to the call.
func (p interference) describe() string {
	var parts []string
	if p.delay > 0 {
		parts = append(parts, "delay "+p.delay.String())
	}
	for _, h := range p.holds {
		parts = append(parts, "held "+h.When)
	}
	if f := p.fault; f != nil {
		switch {
		case f.DropAnswer != "":
			parts = append(parts, "dropped "+f.DropAnswer)
		case f.Reset:
			parts = append(parts, "reset")
		default:
			parts = append(parts, "answered "+strconv.Itoa(f.reply().status))
		}
	}
	return strings.Join(parts, ", ")
}
