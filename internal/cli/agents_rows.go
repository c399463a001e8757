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
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

// agentRow is a row of the table, and its JSON.
type agentRow struct {
	ID           int               `json:"id"`                // id of the agent
	Name         string            `json:"name"`              // name of the agent
	Pool         string            `json:"pool,omitempty"`    // name of the pool
	PoolID       int               `json:"pool_id"`           // id of the pool
	State        pool.State        `json:"state"`             // what the agent does; azptend prune shows which offline agents are ghosts
	Since        *time.Time        `json:"since,omitempty"`   // when this state began
	Enabled      bool              `json:"enabled"`           // whether the server gives jobs to the agent
	Version      string            `json:"version"`           // version of the agent package
	Job          *jobRow           `json:"job,omitempty"`     // the running job
	Created      *time.Time        `json:"created,omitempty"` // when the agent was registered
	Mark         *ownerRow         `json:"mark,omitempty"`    // azptend's owner tag; absent if azptend did not register the agent
	Capabilities map[string]string `json:"capabilities"`      // user capabilities

	now time.Time // the server's time
}

type jobRow struct {
	RequestID int64      `json:"request_id"`         // id of the job request
	Name      string     `json:"name"`               // name of the job
	Pipeline  string     `json:"pipeline,omitempty"` // name of the pipeline
	Run       string     `json:"run,omitempty"`      // name of the run
	Since     *time.Time `json:"since,omitempty"`    // when the job was assigned
}

type ownerRow struct {
	Kind      string `json:"kind"`                 // what azptend registered: agent or placeholder
	Instance  string `json:"instance,omitempty"`   // id of the azptend that registered it
	Host      string `json:"host,omitempty"`       // host name and agent directory, separated by a colon
	RemovedBy string `json:"removed_by,omitempty"` // keeper, if the agent cannot remove itself
}

func agentRows(tended *pool.Pool, agents []azdo.Agent) []agentRow {
	rows := []agentRow{}
	for _, a := range agents {
		rows = append(rows, newAgentRow(tended, a))
	}
	return rows
}

func newAgentRow(tended *pool.Pool, a azdo.Agent) agentRow {
	r := agentRow{
		ID: a.ID, Name: a.Name, Pool: tended.Name, PoolID: tended.ID, State: pool.StateOf(a), Since: timeOrNil(a.StatusChangedOn),
		Enabled: a.IsEnabled(), Version: a.Version, Created: timeOrNil(a.CreatedOn), Mark: ownerOf(a),
		Capabilities: map[string]string{}, now: tended.Now(),
	}
	if j := a.AssignedRequest; j != nil {
		r.Job = &jobRow{j.RequestID, j.JobName, j.Definition.Name, j.Owner.Name, timeOrNil(j.AssignTime)}
		if r.State == pool.StateBusy && r.Job.Since != nil {
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

func timeOrNil(t azdo.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	at := t.UTC()
	return &at
}

func ownerOf(a azdo.Agent) *ownerRow {
	if !pool.HasOwnerTag(a) {
		return nil
	}
	marks := a.UserCapabilities
	return &ownerRow{marks[agentdir.TagKind], marks[agentdir.TagInstance], marks[agentdir.TagHost], marks[agentdir.TagRemoval]}
}

// owner describes the agent's owner for the table.
func (m *ownerRow) owner() string {
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

// text describes a job: "ci 20260928.11, build".
func (j *jobRow) text() string {
	if j == nil {
		return ""
	}
	run := strings.TrimSpace(j.Pipeline + " " + j.Run)
	if run != "" && j.Name != "" {
		run += ", "
	}
	return cmp.Or(run+j.Name, "request "+strconv.FormatInt(j.RequestID, 10))
}

func (r agentRow) ago(at *time.Time) string {
	if at == nil {
		return ""
	}
	return text.Duration(r.now.Sub(*at))
}

func (r agentRow) cells() []string {
	enabled := "yes"
	if !r.Enabled {
		enabled = "no"
	}
	return []string{
		strconv.Itoa(r.ID), r.Name, string(r.State), r.ago(r.Since), enabled, r.Version, r.ago(r.Created), r.Job.text(), r.Mark.owner(),
	}
}

func agentTable(w io.Writer, rows []agentRow) error {
	t := term.NewTable(w, "ID", "NAME", "STATE", "SINCE", "ENABLED", "VERSION", "AGE", "JOB", "OWNER")
	for _, r := range rows {
		t.Row(r.cells()...)
	}
	return t.Flush()
}
