package control

import "fmt"

// Health is whether an azptend is live and ready, as `azptend healthcheck --json` and
// the health server's /status show it.
type Health struct {
	Version string  `json:"version,omitempty"`
	Live    bool    `json:"live"`
	Ready   bool    `json:"ready"`
	Error   string  `json:"error,omitempty"`
	Status  *Status `json:"status,omitempty"` // nil: no agent has started, or azptend does not answer
}

// Probe is the result of a probe, and one line that says why.
func (h Health) Probe(ready bool) (ok bool, line string) {
	what := "alive"
	ok = h.Live
	if ready {
		what, ok = "ready", h.Live && h.Ready
	}
	if !ok {
		what = "not " + what
	}
	switch {
	case h.Error != "":
		return ok, fmt.Sprintf("%s: %s", what, h.Error)
	case h.Status == nil:
		return ok, what + ": no agent has started yet"
	}
	return ok, fmt.Sprintf("%s: %v", what, h.Status)
}
