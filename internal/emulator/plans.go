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
		return nil, taskError(http.StatusForbidden, "AccessDeniedException",
			"Access denied. %s needs UpdateBuildInformation permissions to perform the action.", c.who.display())
	}
	if !strings.EqualFold(c.params["planId"], j.planID) || !strings.EqualFold(c.params["scopeIdentifier"], j.project.id) ||
		!strings.EqualFold(c.params["hubName"], planType) {
		return nil, taskError(http.StatusNotFound, "TaskOrchestrationPlanNotFoundException", "No plan found for identifier %s.", c.params["planId"])
	}
	if t := c.params["timelineId"]; t != "" && !strings.EqualFold(t, j.timelineID) {
		return nil, taskError(http.StatusNotFound, "TimelineNotFoundException", "No timeline found for plan %s with identifier %s.", j.planID, t)
	}
	return j, nil
}

type planEvent struct {
	Name          string          `json:"name"`
	JobID         string          `json:"jobId"`
	RequestID     int64           `json:"requestId"`
	Result        json.RawMessage `json:"result"`
	AgentShutting bool            `json:"agentShuttingDown"`
}

// planEvent is how a worker ends its job. A repeated event, after an answer that was lost, succeeds and changes nothing.
func (e *Emulator) planEvent(_ *request, j *job, in planEvent) (any, error) {
	if !strings.EqualFold(in.JobID, j.jobID) {
		return nil, errBadRequest("The job id %q is not of this plan.", in.JobID)
	}
	if in.Name != "JobCompleted" {
		return noContent, nil // JobAssigned, JobStarted and the like change nothing here
	}
	result, ok := taskResult(strings.Trim(string(in.Result), `"`))
	if !ok {
		return nil, errBadRequest("The value %s is no task result.", in.Result)
	}
	if in.AgentShutting && j.agent != nil && j.result == "" {
		e.markShuttingDown(j.agent)
	}
	e.finish(j, result)
	return noContent, nil
}

// record is a timeline record, with all fields that a client sent.
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
func (e *Emulator) updateRecords(c *request, j *job, in list[record]) (any, error) {
	j.changeID++
	e.dirty = true
	out := []record{}
	for _, r := range in.Value {
		if r.text("id") == "" {
			return nil, errBadRequest("Value cannot be null. Parameter name: record.Id")
		}
		known := j.record(r.text("id"))
		maps.Copy(known, r)
		known["changeId"], _ = json.Marshal(j.changeID)
		out = append(out, known)
	}
	return listOf(c, out, asItIs), nil
}

// asItIs shows what is already in its form for the wire.
func asItIs[T any](_ *request, v T) T {
	return v
}

// record finds a record, or adds one.
func (j *job) record(id string) record {
	r := first(j.records, func(r record) bool { return strings.EqualFold(r.text("id"), id) })
	if r == nil {
		r = record{}
		j.records = append(j.records, r)
	}
	return r
}

// addJobRecord adds the job's own record, which is in the timeline before the agent writes: the listener adds its
// worker's crash to that record, and fails without it (agent-protocol.md 7.5 and corrections).
func (j *job) addJobRecord() {
	j.changeID = 1
	known := j.record(j.jobID)
	fields := obj{
		"id": j.jobID, "type": "Job", "name": j.spec.Name, "refName": "__default", "state": "pending", "order": 1,
		"errorCount": 0, "warningCount": 0, "issues": []obj{}, "changeId": j.changeID,
	}
	for field, value := range fields {
		known[field], _ = json.Marshal(value)
	}
}

func (e *Emulator) getRecords(c *request, j *job) (any, error) {
	return listOf(c, j.records, asItIs), nil
}

func (e *Emulator) getTimeline(c *request, j *job) (any, error) {
	one := obj{"id": j.timelineID, "changeId": j.changeID, "location": nil}
	if c.params["timelineId"] == "" {
		return listOf(c, []obj{one}, asItIs), nil
	}
	if c.flag("includeRecords") {
		one["records"] = append([]record{}, j.records...)
	}
	return one, nil
}
