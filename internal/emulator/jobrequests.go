package emulator

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// jobRequestJSON is a TaskAgentJobRequest (azure-devops-rest.md 2.4); what has not happened yet is absent.
type jobRequestJSON struct {
	RequestID       int64             `json:"requestId"`
	QueueTime       *timestamp        `json:"queueTime"`
	AssignTime      *timestamp        `json:"assignTime,omitempty"`
	ReceiveTime     *timestamp        `json:"receiveTime,omitempty"`
	FinishTime      *timestamp        `json:"finishTime,omitempty"`
	LockedUntil     *timestamp        `json:"lockedUntil,omitempty"`
	Result          enumValue         `json:"result,omitempty"`
	ServiceOwner    string            `json:"serviceOwner"`
	HostID          string            `json:"hostId"`
	ScopeID         string            `json:"scopeId"`
	PlanType        string            `json:"planType"`
	PlanID          string            `json:"planId"`
	JobID           string            `json:"jobId"`
	JobName         string            `json:"jobName"`
	Demands         []string          `json:"demands"`
	ReservedAgent   *agentJSON        `json:"reservedAgent,omitempty"`
	MatchedAgents   []agentJSON       `json:"matchedAgents,omitempty"`
	Definition      obj               `json:"definition"`
	Owner           obj               `json:"owner"`
	Data            map[string]string `json:"data"`
	PoolID          int               `json:"poolId"`
	AgentDelays     []obj             `json:"agentDelays"`
	OrchestrationID string            `json:"orchestrationId"`
	MatchesAll      bool              `json:"matchesAllAgentsInPool,omitempty"`
	Priority        int               `json:"priority"`
}

func (e *Emulator) jobRequestJSON(base string, j *job, matched bool) jobRequestJSON {
	out := jobRequestJSON{
		RequestID: j.requestID, QueueTime: timestampOf(j.queueTime), AssignTime: timestampOf(j.assignTime),
		ReceiveTime: timestampOf(j.receiveTime), FinishTime: timestampOf(j.finishTime), LockedUntil: timestampOf(j.lockedUntil),
		Result: enumValue(j.result), ServiceOwner: serviceOwner, HostID: e.instanceID, ScopeID: j.project.id, PlanType: planType,
		PlanID: j.planID, JobID: j.jobID, JobName: j.spec.Name, Demands: append([]string{}, j.spec.Demands...),
		Definition: e.definitionRef(base, j), Owner: e.ownerRef(base, j),
		Data:   map[string]string{"ParallelismTag": "Private", "IsScheduledKey": "False"},
		PoolID: j.pool.id, AgentDelays: []obj{}, OrchestrationID: j.planID + ".job.__default",
		MatchesAll: len(j.spec.Demands) == 0,
	}
	if j.agent != nil {
		a := e.agentReference(base, j.agent)
		out.ReservedAgent = &a
	}
	if matched {
		for _, a := range j.matchedAgents() {
			out.MatchedAgents = append(out.MatchedAgents, e.agentReference(base, a))
		}
	}
	return out
}

// The bounds of what one answer lists (azure-devops-rest.md 2.4; keda-and-kubernetes.md 1.6: 200 whatever $top says).
const maxTop, maxHistory = 200, 50

// getJobRequests is one request, or the list in one of its query shapes.
func (e *Emulator) getJobRequests(c *request, p *pool) (any, error) {
	if id := c.params["requestId"]; id != "" {
		j := e.jobNumbered(int64(c.intParam("requestId")))
		if j == nil || j.pool != p {
			return nil, errNoJob(id)
		}
		return e.jobRequestMatched(c, j), nil
	}
	jobs := e.selectJobs(c, p)
	if c.query("$top") != "" {
		return e.topJobs(c, jobs)
	}
	return listOf(c, jobs, e.jobRequestMatched), nil
}

func (e *Emulator) jobRequestMatched(c *request, j *job) jobRequestJSON {
	return e.jobRequestJSON(c.base, j, true)
}

// selectJobs applies agentId, agentIds, planId, jobId and completedRequestCount: unfinished requests first, then the
// newest finished ones.
func (e *Emulator) selectJobs(c *request, p *pool) []*job {
	agents := intList(cmp.Or(c.query("agentId"), c.query("agentIds")))
	plan, jobID := c.query("planId"), c.query("jobId")
	history := maxHistory
	if n, err := strconv.Atoi(c.query("completedRequestCount")); err == nil && n >= 0 {
		history = n
	}
	if c.query("$top") != "" || plan != "" {
		history = len(e.jobs)
	}
	var open, done []*job
	for _, j := range slices.Backward(e.jobs) {
		switch {
		case j.pool != p,
			agents != nil && (j.agent == nil || !slices.Contains(agents, j.agent.id)),
			plan != "" && !strings.EqualFold(plan, j.planID),
			jobID != "" && !strings.EqualFold(jobID, j.jobID):
		case j.result == "":
			open = append(open, j)
		case len(done) < history:
			done = append(done, j)
		}
	}
	return append(open, done...)
}

// topJobs is the $top form: newest first, in pages, and without matchedAgents (keda#4387).
func (e *Emulator) topJobs(c *request, jobs []*job) (any, error) {
	top, err := strconv.Atoi(c.query("$top"))
	if err != nil || top < 0 {
		return nil, errBadRequest("The value %q of $top is no number.", c.query("$top"))
	}
	top = min(top, maxTop)
	slices.SortFunc(jobs, func(a, b *job) int { return int(b.requestID - a.requestID) })
	if before, err := strconv.ParseInt(c.query("continuationToken"), 10, 64); err == nil {
		jobs = slices.DeleteFunc(jobs, func(j *job) bool { return j.requestID >= before })
	}
	more := ""
	if len(jobs) > top {
		jobs = jobs[:top]
		if top > 0 {
			more = strconv.FormatInt(jobs[top-1].requestID, 10)
		}
	}
	r := jsonReply(http.StatusOK, listOf(c, jobs, func(c *request, j *job) jobRequestJSON { return e.jobRequestJSON(c.base, j, false) }))
	if more != "" {
		r = r.setHeader("X-MS-ContinuationToken", more)
	}
	return r, nil
}

// heldJob is the unfinished job of the request's path, if the caller holds it.
func (e *Emulator) heldJob(c *request) (*job, error) {
	j := e.jobNumbered(int64(c.intParam("requestId")))
	agentID := c.who.agentID
	if j != nil && j.agent != nil && !c.who.isAgent {
		agentID = j.agent.id
	}
	if _, err := e.listener(c, agentID); err != nil {
		return nil, err
	}
	if j == nil || j.pool.id != c.intParam("poolId") || j.agent == nil || j.agent.id != agentID {
		return nil, errNoJob(c.params["requestId"])
	}
	if j.result != "" {
		return nil, taskError(http.StatusNotFound, "TaskAgentJobTokenExpiredException", "The lock on job request %d has expired.", j.requestID)
	}
	return j, nil
}

// jobRequestUpdate is the body of a PATCH.
type jobRequestUpdate struct {
	RequestID  int64     `json:"requestId"`
	FinishTime string    `json:"finishTime"`
	Result     enumValue `json:"result"`
}

// updateJobRequest renews the lock, or ends the request when the body carries a result (agent-protocol.md 7.4).
func (e *Emulator) updateJobRequest(c *request, j *job, in jobRequestUpdate) (any, error) {
	if in.RequestID != j.requestID {
		return nil, errBadRequest("The request id %d in the body does not match the id %d of the request.", in.RequestID, j.requestID)
	}
	result, ok := taskResult(string(in.Result))
	switch {
	case in.FinishTime == "" && in.Result == "":
		e.renew(j)
	case !ok:
		return nil, errBadRequest("The value %q is no task result.", in.Result)
	default:
		e.finish(j, result)
	}
	return e.jobRequestJSON(c.base, j, false), nil
}

// deleteJobRequest is the other way a listener ends a request: ?result=&agentShuttingDown=.
func (e *Emulator) deleteJobRequest(c *request, j *job) (any, error) {
	result, ok := taskResult(c.query("result"))
	if c.flag("agentShuttingDown") {
		e.markShuttingDown(j.agent)
	}
	e.finish(j, choose(ok, result, "abandoned"))
	return noContent, nil
}

// taskResult reads the enum by name or number and writes it as the service does.
func taskResult(s string) (string, bool) {
	for i, name := range []string{"succeeded", "succeededWithIssues", "failed", "canceled", "skipped", "abandoned"} {
		if strings.EqualFold(s, name) || s == strconv.Itoa(i) {
			return name, true
		}
	}
	return "", false
}

// markShuttingDown notes that an agent's listener takes no more jobs; its next session does again.
func (e *Emulator) markShuttingDown(a *agent) {
	if !a.shuttingDown && !e.assumptions.ShuttingDownIgnored {
		a.shuttingDown = true
		e.emitAgent(EventAgentShutting, a)
	}
}
