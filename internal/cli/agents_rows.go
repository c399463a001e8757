package cli

import (
	"cmp"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// The states of an agent.
const (
	stateBusy        = "busy"
	stateOnline      = "online"
	stateOffline     = "offline"
	statePlaceholder = "placeholder"
)

var states = []string{stateBusy, stateOnline, stateOffline, statePlaceholder}

func stateOf(a azdo.Agent) string {
	switch {
	case a.Online() && a.AssignedRequest != nil:
		return stateBusy
	case a.Online():
		return stateOnline
	case pool.PlaceholderWhy(a) != "":
		return statePlaceholder
	}
	return stateOffline
}

// shownAgent is one row, and its JSON.
type shownAgent struct {
	ID           int               `json:"id"`
	Name         string            `json:"name"`
	Pool         string            `json:"pool,omitempty"`
	PoolID       int               `json:"pool_id"`
	State        string            `json:"state"`
	Since        *time.Time        `json:"since,omitempty"` // of the state
	Enabled      bool              `json:"enabled"`
	Version      string            `json:"version"`
	Job          *shownJob         `json:"job,omitempty"`
	Created      *time.Time        `json:"created,omitempty"`
	Mark         *shownMark        `json:"mark,omitempty"` // absent: not azptend's
	Capabilities map[string]string `json:"capabilities"`   // the user's

	now time.Time // the server's
}

type shownJob struct {
	RequestID int64      `json:"request_id"`
	Name      string     `json:"name"`
	Pipeline  string     `json:"pipeline,omitempty"`
	Run       string     `json:"run,omitempty"`
	Since     *time.Time `json:"since,omitempty"` // it was assigned
}

type shownMark struct {
	Kind      string `json:"kind"`
	Instance  string `json:"instance,omitempty"`
	Host      string `json:"host,omitempty"`       // "host name:agent folder"
	RemovedBy string `json:"removed_by,omitempty"` // "keeper"
}

func shownAgents(tended *pool.Pool, agents []azdo.Agent) []shownAgent {
	rows := []shownAgent{}
	for _, a := range agents {
		rows = append(rows, showAgent(tended, a))
	}
	return rows
}

func showAgent(tended *pool.Pool, a azdo.Agent) shownAgent {
	r := shownAgent{
		ID: a.ID, Name: a.Name, Pool: tended.Name, PoolID: tended.ID, State: stateOf(a), Since: known(a.StatusChangedOn),
		Enabled: a.Enabled == nil || *a.Enabled, Version: a.Version, Created: known(a.CreatedOn), Mark: markOf(a),
		Capabilities: map[string]string{}, now: tended.Now(),
	}
	if j := a.AssignedRequest; j != nil {
		r.Job = &shownJob{j.RequestID, j.JobName, j.Definition.Name, j.Owner.Name, known(j.AssignTime)}
		if r.State == stateBusy && r.Job.Since != nil {
			r.Since = r.Job.Since
		}
	}
	for name, value := range a.UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") {
			r.Capabilities[name] = value
		}
	}
	return r
}

func known(t azdo.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	at := t.UTC()
	return &at
}

func markOf(a azdo.Agent) *shownMark {
	if !pool.Ours(a) {
		return nil
	}
	marks := a.UserCapabilities
	return &shownMark{marks[agentdir.MarkKind], marks[agentdir.MarkInstance], marks[agentdir.MarkHost], marks[agentdir.MarkRemoval]}
}

// owner is whose an agent is, for a person: azptend's, and where it lives.
func (m *shownMark) owner() string {
	if m == nil {
		return ""
	}
	text := "azptend"
	if host, _, _ := strings.Cut(m.Host, ":"); host != "" {
		text += " on " + host
	}
	if m.RemovedBy != "" {
		text += ", removed by a " + m.RemovedBy
	}
	return text
}

// text is what a job is called: "ci 20260928.11, build".
func (j *shownJob) text() string {
	if j == nil {
		return ""
	}
	run := strings.TrimSpace(j.Pipeline + " " + j.Run)
	if run != "" && j.Name != "" {
		run += ", "
	}
	return cmp.Or(run+j.Name, "request "+strconv.FormatInt(j.RequestID, 10))
}

func (r shownAgent) ago(at *time.Time) string {
	if at == nil {
		return ""
	}
	return pool.Span(r.now.Sub(*at))
}

func (r shownAgent) cells() []string {
	enabled := "yes"
	if !r.Enabled {
		enabled = "no"
	}
	return []string{
		strconv.Itoa(r.ID), r.Name, r.State, r.ago(r.Since), enabled, r.Version, r.ago(r.Created), r.Job.text(), r.Mark.owner(),
	}
}

func agentTable(w io.Writer, rows []shownAgent) error {
	t := newTable(w, "ID", "NAME", "STATE", "SINCE", "ENABLED", "VERSION", "AGE", "JOB", "OWNER")
	for _, r := range rows {
		t.row(r.cells()...)
	}
	return t.flush()
}
