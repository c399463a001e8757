package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// protocolVersion is the protocol's version. It stays the same if fields are added.
const protocolVersion = 1

// Command is the command of a request.
type Command string

// The commands.
const (
	CommandStatus Command = "status"
	CommandDrain  Command = "drain"
)

// Request is a request.
type Request struct {
	Version     int     `json:"v"`
	Command     Command `json:"ask"`
	Terminating bool    `json:"terminating,omitempty"` // for a drain: the grace period starts now
	Watch       bool    `json:"watch,omitempty"`       // also answer at each change of the phase, until the end
}

// Response is one line of the answer: a status, or why there is none.
type Response struct {
	Version int     `json:"v"`
	Error   string  `json:"error,omitempty"`
	Status  *Status `json:"status,omitempty"`
}

// Status is the state of an agent, or of several: then Agents has each, and the other fields
// are about all of them. Phase is that of the agent that has progressed least. The values are
// those of package lifecycle.
type Status struct {
	Phase        string     `json:"phase"`              // phase of the agent, as in the log
	Since        time.Time  `json:"since"`              // when the phase began
	Ready        bool       `json:"ready"`              // whether it listens for jobs, or runs one
	Registration string     `json:"registration"`       // state of the registration
	Agent        string     `json:"agent"`              // name of the agent
	AgentID      int        `json:"agent_id,omitempty"` // id of the agent; 0: the server has not given one
	Pool         string     `json:"pool"`               // name of the pool
	Job          string     `json:"job"`                // none, running or unknown
	Jobs         int        `json:"jobs"`               // number of jobs received in this run
	Reason       string     `json:"reason,omitempty"`   // why it drains
	Deadline     *time.Time `json:"deadline,omitempty"` // when the grace period ends, while it runs
	End          *End       `json:"end,omitempty"`      // how the run ended
	Agents       []Status   `json:"agents,omitempty"`   // each agent, where there are several
}

// String is the status in a line, for probes.
func (s Status) String() string {
	if len(s.Agents) == 0 {
		return fmt.Sprintf("agent %q of pool %q is %s", s.Agent, s.Pool, s.Phase)
	}
	count := map[string]int{}
	for _, a := range s.Agents {
		count[a.Phase]++
	}
	var phases []string
	for _, phase := range slices.Sorted(maps.Keys(count)) {
		phases = append(phases, fmt.Sprintf("%d %s", count[phase], phase))
	}
	return fmt.Sprintf("%d agents of pool %q: %s", len(s.Agents), s.Pool, strings.Join(phases, ", "))
}

// End is how a run ended.
type End struct {
	Code int    `json:"code"` // the exit code
	Why  string `json:"why"`  // the reason, in a sentence
}

// maxRequest is the maximum length of a request, in bytes.
const maxRequest = 4096

// parseRequest parses a line of a client, which is not trusted.
func parseRequest(line []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return Request{}, errors.New("cannot read the request: it is not a JSON object of the protocol")
	}
	switch {
	case r.Version != protocolVersion:
		return Request{}, fmt.Errorf("cannot read the request: its protocol version is %d, not %d", r.Version, protocolVersion)
	case r.Command != CommandStatus && r.Command != CommandDrain:
		return Request{}, fmt.Errorf("cannot answer: unknown command %.40q", r.Command)
	case r.Terminating && r.Command != CommandDrain:
		return Request{}, errors.New("cannot answer: terminating is only for a drain")
	}
	return r, nil
}

// Health is whether an azptend is live and ready, as `azptend healthcheck --json` and
// the health server's /status show it.
type Health struct {
	Version string  `json:"version,omitempty"` // version of azptend; only at /status
	Live    bool    `json:"live"`              // whether its loop answers
	Ready   bool    `json:"ready"`             // whether all its agents are ready
	Error   string  `json:"error,omitempty"`   // why it is not live
	Status  *Status `json:"status,omitempty"`  // the agent; absent until it starts, and if azptend does not answer
}

// Probe returns the result of a liveness or readiness probe, and a line that explains it.
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
