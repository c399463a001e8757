package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
)

// planJob is the job of a plan route, if the caller has that job's own token (agent-protocol.md 7.5).
func (e *Emulator) planJob(c *request) (*job, error) {
	j := c.who.job
	if j == nil {
		return nil, &apiError{http.StatusForbidden, "AccessDeniedException", nsTask,
			"Access denied. " + c.who.display() + " needs UpdateBuildInformation permissions to perform the action."}
	}
	if !strings.EqualFold(c.params["planId"], j.planID) || !strings.EqualFold(c.params["scopeIdentifier"], j.scopeID) ||
		!strings.EqualFold(c.params["hubName"], planType) {
		return nil, errNoPlan(c.params["planId"])
	}
	if t := c.params["timelineId"]; t != "" && !strings.EqualFold(t, j.timelineID) {
		return nil, taskError(http.StatusNotFound, "TimelineNotFoundException", "No timeline found for plan %s with identifier %s.", j.planID, t)
	}
	return j, nil
}

// planEvent is how a worker ends its job. A repeated event, after an answer that was lost, succeeds and changes nothing.
func (e *Emulator) planEvent(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Name          string          `json:"name"`
		JobID         string          `json:"jobId"`
		RequestID     int64           `json:"requestId"`
		Result        json.RawMessage `json:"result"`
		AgentShutting bool            `json:"agentShuttingDown"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if !strings.EqualFold(in.JobID, j.jobID) {
		return reply{}, errBadRequest("The job id %q is not of this plan.", in.JobID)
	}
	if in.Name != "JobCompleted" {
		return noContent(), nil // JobAssigned, JobStarted and the like change nothing here
	}
	result, ok := taskResult(strings.Trim(string(in.Result), `"`))
	if !ok {
		return reply{}, errBadRequest("The value %s is no task result.", in.Result)
	}
	if in.AgentShutting && j.agent != nil && j.result == "" {
		e.markShuttingDown(j.agent)
	}
	e.finish(j, result)
	return noContent(), nil
}

// record is a timeline record; fields we do not know are kept as they came.
type record map[string]json.RawMessage

func (r record) text(field string) string {
	var s string
	_ = json.Unmarshal(r[field], &s)
	return s
}

func (r record) logID() int {
	var l struct {
		ID int `json:"id"`
	}
	_ = json.Unmarshal(r["log"], &l)
	return l.ID
}

// updateRecords merges the records sent into those known, by id.
func (e *Emulator) updateRecords(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	var in list[record]
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	j.changeID++
	out := []record{}
	for _, r := range in.Value {
		if r.text("id") == "" {
			return reply{}, errBadRequest("Value cannot be null. Parameter name: record.Id")
		}
		known := j.record(r.text("id"))
		maps.Copy((*known), r)
		(*known)["changeId"], _ = json.Marshal(j.changeID)
		out = append(out, *known)
	}
	e.dirty = true
	return jsonReply(http.StatusOK, listOf(out)), nil
}

// record finds a record, or begins one.
func (j *job) record(id string) *record {
	for _, r := range j.records {
		if strings.EqualFold(r.text("id"), id) {
			return r
		}
	}
	r := &record{}
	j.records = append(j.records, r)
	return r
}

func (j *job) allRecords() []record {
	out := []record{}
	for _, r := range j.records {
		out = append(out, *r)
	}
	return out
}

func (e *Emulator) getRecords(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, listOf(j.allRecords())), nil
}

func (e *Emulator) getTimeline(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	one := obj{"id": j.timelineID, "changeId": j.changeID, "location": nil}
	if c.params["timelineId"] == "" {
		return jsonReply(http.StatusOK, listOf([]obj{one})), nil
	}
	if c.flag("includeRecords") {
		one["records"] = j.allRecords()
	}
	return jsonReply(http.StatusOK, one), nil
}
