package fakeagent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// plan reports a worker's job to the server, with the job's token (7.4, 7.5).
type plan struct {
	client    *client
	base      string
	timeScale timeScale
	job       jobMessage
}

// The retries of the VSS client (1.4), and of the last event (7.4).
const (
	planTries  = 3
	planPause  = 10 * time.Second
	eventTries = 5
	eventPause = 5 * time.Second
)

func newPlan(m jobMessage, hc *http.Client, version string, p timeScale) (*plan, error) {
	at, token, err := m.connection()
	if err != nil {
		return nil, err
	}
	if m.Plan.PlanID == "" || m.Plan.PlanType == "" || m.Plan.ScopeIdentifier == "" {
		return nil, errors.New("cannot use the job message: its plan has no id, type or scope")
	}
	base := fmt.Sprintf("%s/%s/_apis/distributedtask/hubs/%s/plans/%s", strings.TrimRight(at, "/"),
		url.PathEscape(m.Plan.ScopeIdentifier), url.PathEscape(m.Plan.PlanType), url.PathEscape(m.Plan.PlanID))
	constant := func(context.Context, bool) (string, error) { return token, nil }
	return &plan{client: newClient(hc, constant, version), base: base, timeScale: p, job: m}, nil
}

// record is a record of the timeline (7.5).
type record struct {
	ID              string  `json:"id"`
	ParentID        string  `json:"parentId,omitempty"`
	Type            string  `json:"type"`
	Name            string  `json:"name"`
	RefName         string  `json:"refName,omitempty"`
	StartTime       string  `json:"startTime,omitempty"`
	FinishTime      string  `json:"finishTime,omitempty"`
	PercentComplete int     `json:"percentComplete"`
	State           string  `json:"state"`
	Result          string  `json:"result,omitempty"`
	WorkerName      string  `json:"workerName"`
	Order           int     `json:"order"`
	Log             *logRef `json:"log,omitempty"`
	ErrorCount      int     `json:"errorCount"`
	WarningCount    int     `json:"warningCount"`
	Issues          []issue `json:"issues"`
}

type logRef struct {
	ID int `json:"id"`
}

type issue struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// The states of a record.
const (
	statePending    = "pending"
	stateInProgress = "inProgress"
	stateCompleted  = "completed"
)

func (r *record) addError(message string) {
	r.Issues = append(r.Issues, issue{Type: "error", Message: message})
	r.ErrorCount++
}

func (r *record) begin() {
	r.State, r.StartTime = stateInProgress, jsonTime(time.Now())
}

func (r *record) end(res result) {
	r.State, r.Result, r.PercentComplete = stateCompleted, res.wire(), 100
	r.FinishTime = jsonTime(time.Now())
}

func (p *plan) updateRecords(ctx context.Context, records ...record) error {
	for i := range records {
		if records[i].Issues == nil {
			records[i].Issues = []issue{}
		}
	}
	path := "/timelines/" + url.PathEscape(p.job.Timeline.ID) + "/records"
	return p.send(ctx, http.MethodPatch, path, map[string]any{"count": len(records), "value": records}, nil)
}

// feed sends live lines. The path contains the job's record, and the body the step's.
func (p *plan) feed(ctx context.Context, stepID string, startLine int, lines []string) error {
	path := fmt.Sprintf("/timelines/%s/records/%s/feed", url.PathEscape(p.job.Timeline.ID), url.PathEscape(p.job.JobID))
	return p.send(ctx, http.MethodPost, path, map[string]any{
		"value": lines, "count": len(lines), "stepId": stepID, "startLine": startLine,
	}, nil)
}

// uploadLog creates the log of a record and appends its content.
func (p *plan) uploadLog(ctx context.Context, recordID string, content []byte) (*logRef, error) {
	var ref logRef
	if err := p.send(ctx, http.MethodPost, "/logs", map[string]string{"path": `logs\` + recordID}, &ref); err != nil {
		return nil, err
	}
	if err := p.send(ctx, http.MethodPost, fmt.Sprintf("/logs/%d", ref.ID), content, nil); err != nil {
		return nil, err
	}
	return &ref, nil
}

// jobCompleted sends the event that completes the job, with up to five tries (7.4).
func (p *plan) jobCompleted(ctx context.Context, r result, agentShuttingDown bool) error {
	event := map[string]any{
		"name": "JobCompleted", "jobId": p.job.JobID, "requestId": p.job.RequestID,
		"result": r.wire(), "agentShuttingDown": agentShuttingDown,
	}
	at := p.base + "/events?api-version=" + eventAPIVersion
	for try := 1; ; try++ {
		err := p.client.call(ctx, http.MethodPost, at, event, nil)
		if err == nil || try == eventTries || !p.timeScale.sleep(ctx, eventPause) {
			return err
		}
	}
}

func (p *plan) send(ctx context.Context, method, path string, body, answer any) error {
	at := p.base + path + "?api-version=" + apiVersion
	for try := 1; ; try++ {
		err := p.client.call(ctx, method, at, body, answer)
		if !isTransient(err) || try == planTries || !p.timeScale.sleep(ctx, planPause) {
			return err
		}
	}
}

// result is TaskResult; a worker's exit code is 100 more (4.1).
type result int

const (
	succeeded result = iota
	succeededWithIssues
	failed
	canceled
	skipped
	abandoned
)

// String is the result's name on the terminal (5.6).
func (r result) String() string {
	names := [...]string{"Succeeded", "SucceededWithIssues", "Failed", "Canceled", "Skipped", "Abandoned"}
	if r < 0 || int(r) >= len(names) {
		return "Failed"
	}
	return names[r]
}

// wire is the result's name in JSON, in camelCase (2.2).
func (r result) wire() string {
	name := r.String()
	return strings.ToLower(name[:1]) + name[1:]
}

// workerExitBase is what a worker adds to its result.
const workerExitBase = 100

// resultOfWorker is the result in a worker's exit code; false means that it crashed.
func resultOfWorker(code int) (result, bool) {
	r := result(code - workerExitBase)
	return r, r >= succeeded && r <= abandoned
}
