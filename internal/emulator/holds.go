package emulator

import (
	"cmp"
	"context"
	"fmt"
)

// When a hold stops a call.
const (
	HoldBefore = "before" // before the server acts
	HoldAfter  = "after"  // after it acted, before it answers
)

// Hold stops the n-th matching call until it is released. A released call continues even if its client has given up:
// then the server acts late, as real servers do.
type Hold struct {
	ID     string `json:"id,omitempty"`     // set by AddHold
	Method string `json:"method,omitempty"` // empty: any
	Path   string `json:"path,omitempty"`   // as in Fault
	Nth    int    `json:"nth,omitempty"`    // from 1; default 1
	When   string `json:"when,omitempty"`   // default before

	Reached  bool `json:"reached"`  // the call has arrived and is, or was, held
	Released bool `json:"released"` // it may go on, or may pass when it comes
}

type holdState struct {
	Hold
	matcher
	seen int
	free chan struct{} // closed by Release
}

// AddHold adds a hold and returns its id, for WaitHold and Release.
func (e *Emulator) AddHold(h Hold) (string, error) {
	m, err := newMatcher(h.Method, h.Path)
	if err != nil {
		return "", fmt.Errorf("cannot add the hold: %w", err)
	}
	h.When = cmp.Or(h.When, HoldBefore)
	if h.When != HoldBefore && h.When != HoldAfter {
		return "", fmt.Errorf("cannot add the hold: when is %q, not %q or %q", h.When, HoldBefore, HoldAfter)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	h.ID, h.Nth, h.Reached, h.Released = e.hookID("hold"), max(h.Nth, 1), false, false
	e.holds = append(e.holds, &holdState{h, m, 0, make(chan struct{})})
	return h.ID, nil
}

// holdByID finds a hold; the error wraps ErrNotFound. mu is held.
func (e *Emulator) holdByID(id string) (*holdState, error) {
	if h := first(e.holds, func(h *holdState) bool { return h.ID == id }); h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("hold %q: %w", id, ErrNotFound)
}

// Release lets the held call go on, or pass when it comes. Releasing twice changes nothing; the error wraps
// ErrNotFound.
func (e *Emulator) Release(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	h, err := e.holdByID(id)
	if err == nil {
		h.release()
	}
	return err
}

// ReleaseAll releases every hold.
func (e *Emulator) ReleaseAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.holds {
		h.release()
	}
}

func (h *holdState) release() {
	if !h.Released {
		h.Released = true
		close(h.free)
	}
}

// Holds returns all holds, also released ones.
func (e *Emulator) Holds() []Hold {
	e.mu.Lock()
	defer e.mu.Unlock()
	return each(e.holds, func(h *holdState) Hold { return h.Hold })
}

// WaitHold waits until the hold has caught its call. The error is ctx's, ErrClosed or wraps ErrNotFound.
func (e *Emulator) WaitHold(ctx context.Context, id string) error {
	e.mu.Lock()
	h, err := e.holdByID(id)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	var reached bool
	return e.await(ctx, func() { reached = h.Reached }, func() bool { return reached })
}

// holdCall stops at the plan's holds of one kind; false when the emulator closes meanwhile.
func (e *Emulator) holdCall(p interference, when string) bool {
	for _, h := range p.holds {
		if h.When != when {
			continue
		}
		e.mu.Lock()
		h.Reached, e.dirty = true, true
		e.settle()
		e.mu.Unlock()
		select {
		case <-h.free:
		case <-e.done:
			return false
		}
	}
	return true
}
