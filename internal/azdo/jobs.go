package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// JobRequest is a job on its way to an agent (azure-devops-rest.md 2.4). Each
// time is zero until it has come.
type JobRequest struct {
	RequestID     int64     `json:"requestId"`
	JobID         string    `json:"jobId"`
	JobName       string    `json:"jobName"`
	Result        string    `json:"result"` // "" until it has finished
	QueueTime     Time      `json:"queueTime,omitzero"`
	AssignTime    Time      `json:"assignTime,omitzero"`
	ReceiveTime   Time      `json:"receiveTime,omitzero"`
	FinishTime    Time      `json:"finishTime,omitzero"`
	Demands       []string  `json:"demands"`                 // "name", or "name -equals value"
	MatchedAgents []Agent   `json:"matchedAgents,omitempty"` // who could take it, offline ones included
	ReservedAgent *Agent    `json:"reservedAgent,omitempty"` // who has it
	Definition    Reference `json:"definition"`              // the pipeline
	Owner         Reference `json:"owner"`                   // the run
}

// Reference is something of the server's that has a name.
type Reference struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Links Links  `json:"_links,omitzero"`
}

// Links are addresses of what a Reference is about.
type Links struct {
	Web struct {
		Href string `json:"href"`
	} `json:"web"`
}

// JobState is how far a job request has come.
type JobState string

// The states of a job request, in their order.
const (
	JobQueued   JobState = "queued"   // no agent has it
	JobAssigned JobState = "assigned" // an agent is to take it, and has not yet
	JobRunning  JobState = "running"
	JobFinished JobState = "finished"
)

// State is how far the request has come, by the times it carries.
func (r JobRequest) State() JobState {
	switch {
	case r.Result != "" || !r.FinishTime.IsZero():
		return JobFinished
	case !r.ReceiveTime.IsZero():
		return JobRunning
	case !r.AssignTime.IsZero():
		return JobAssigned
	}
	return JobQueued
}

// JobRequests lists a pool's unfinished job requests, and of each agent's
// finished ones the newest few that completed asks for. It never asks with $top,
// which leaves out the agents that match, nor without a count, which the service
// answers slowly once a pool has a history (azure-devops-rest.md 2.4).
func (c *Client) JobRequests(ctx context.Context, pool, completed int) ([]JobRequest, error) {
	var all []JobRequest
	err := c.EachJobRequest(ctx, pool, completed, func(r JobRequest) { all = append(all, r) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// EachJobRequest is JobRequests for a list that need not be held: each request that
// waits names all agents that match it, and in a large pool those are many. Each is
// called while the answer comes in, as with EachAgent.
func (c *Client) EachJobRequest(ctx context.Context, pool, completed int, each func(JobRequest)) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("list the job requests of pool %d", pool), method: http.MethodGet,
		path: "_apis/distributedtask/pools/" + strconv.Itoa(pool) + "/jobrequests", items: decodeEach(each),
		query: url.Values{
			"completedRequestCount": {strconv.Itoa(completed)},
			"api-version":           {preview},
		},
	})
}
