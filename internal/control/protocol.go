package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// version is of the protocol. Fields may be added to it without a new one.
const version = 1

// Ask is what a request wants.
type Ask string

// The questions.
const (
	AskStatus Ask = "status"
	AskDrain  Ask = "drain"
)

// Request is one question.
type Request struct {
	Version     int  `json:"v"`
	Ask         Ask  `json:"ask"`
	Terminating bool `json:"terminating,omitempty"` // of a drain: the grace period runs from now
	Watch       bool `json:"watch,omitempty"`       // go on with each new phase, until the end
}

// Answer is one line of the answer: a status, or why there is none.
type Answer struct {
	Version int     `json:"v"`
	Error   string  `json:"error,omitempty"`
	Status  *Status `json:"status,omitempty"`
}

// Status is one agent, as its azptend's loop sees it at this moment, or several
// as one: each in Agents, and together as far as the one that is least far on its
// way. The words are package lifecycle's.
type Status struct {
	Phase        string     `json:"phase"`
	Since        time.Time  `json:"since"` // when the phase began
	Ready        bool       `json:"ready"` // it listens for jobs, or runs one
	Registration string     `json:"registration"`
	Agent        string     `json:"agent"`
	AgentID      int        `json:"agent_id,omitempty"` // 0: the server has not given one
	Pool         string     `json:"pool"`
	Job          string     `json:"job"`                // none, running, unknown
	Jobs         int        `json:"jobs"`               // received in this life
	Reason       string     `json:"reason,omitempty"`   // why it drains
	Deadline     *time.Time `json:"deadline,omitempty"` // when the grace period ends; nil while it does not run
	End          *End       `json:"end,omitempty"`      // of the life; nil while it lasts
	Agents       []Status   `json:"agents,omitempty"`   // where there are several
}

// End is how a life ended.
type End struct {
	Code int    `json:"code"` // the exit code
	Why  string `json:"why"`
}

// longestRequest bounds what is read of a request, in bytes.
const longestRequest = 4096

// parseRequest reads one line. It is written by anybody who may open the socket.
func parseRequest(line []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return Request{}, errors.New("cannot read the request: it is no JSON object of the protocol")
	}
	switch {
	case r.Version != version:
		return Request{}, fmt.Errorf("cannot read the request: it is of version %d, and this azptend speaks %d", r.Version, version)
	case r.Ask != AskStatus && r.Ask != AskDrain:
		return Request{}, fmt.Errorf("cannot answer: there is no question %.40q", r.Ask)
	case r.Terminating && r.Ask != AskDrain:
		return Request{}, errors.New("cannot answer: only a drain can be terminating")
	}
	return r, nil
}
