package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// JobRequest is a job that waits for an agent, runs or has finished (azure-devops-rest.md
// 2.4). A time is zero until it is reached.
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
	MatchedAgents []Agent   `json:"matchedAgents,omitempty"` // agents that meet its demands, also offline ones
	ReservedAgent *Agent    `json:"reservedAgent,omitempty"` // the agent that it is assigned to
	Definition    Reference `json:"definition"`              // the pipeline
	Owner         Reference `json:"owner"`                   // the run
}

// Reference is the id and name of an object on the server.
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

// JobState is the state of a job request.
type JobState string

// The states of a job request, in their order.
const (
	JobQueued   JobState = "queued"   // not assigned to an agent
	JobAssigned JobState = "assigned" // assigned, and the agent has not received it yet
	JobRunning  JobState = "running"
	JobFinished JobState = "finished"
)

// State is the state of the request, according to its times.
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

// JobRequests lists a pool's unfinished job requests, and for each agent the newest finished
// ones, as many as completed says. The query has no $top, because the answer would lack the
// matching agents. It always has a count of completed requests, because otherwise the
// service is slow for a pool with a long history (azure-devops-rest.md 2.4).
func (c *Client) JobRequests(ctx context.Context, pool, completed int) ([]JobRequest, error) {
	var all []JobRequest
	err := c.EachJobRequest(ctx, pool, completed, func(r JobRequest) { all = append(all, r) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// EachJobRequest is JobRequests without reading the whole list into memory: a waiting
// request names all agents that match it. each is called while the answer is read, as in
// EachAgent.
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
