package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Project is a project of the organisation.
type Project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Queue makes a pool of the organisation available in a project (azure-devops-rest.md 2.5).
type Queue struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Pool struct {
		ID int `json:"id"`
	} `json:"pool"`
}

// ProjectByName finds a project by its name or id.
func (c *Client) ProjectByName(ctx context.Context, name string) (Project, error) {
	var p Project
	op := fmt.Sprintf("find project %q", name)
	err := c.get(ctx, op, "_apis/projects/"+url.PathEscape(name), nil, &p)
	if err == nil && p.ID == "" {
		err = invalid(op, "it names no project")
	}
	return p, err
}

// QueueForPool finds a project's queue for a pool. If there is none, found is false.
func (c *Client) QueueForPool(ctx context.Context, project string, pool int) (q Queue, found bool, err error) {
	var list struct{ Value []Queue }
	err = c.get(ctx, fmt.Sprintf("look for pool %d in the project", pool), queuesPath(project), url.Values{"poolIds": {strconv.Itoa(pool)}}, &list)
	if err != nil {
		return Queue{}, false, err
	}
	for _, q := range list.Value { // check again: a server ignores parameters that it does not know
		if q.Pool.ID == pool && q.ID != 0 {
			return q, true, nil
		}
	}
	return Queue{}, false, nil
}

// AddQueue adds a pool to a project, without permission for its pipelines.
func (c *Client) AddQueue(ctx context.Context, project, name string, pool int) (Queue, error) {
	var q Queue
	op := fmt.Sprintf("add pool %d to the project", pool)
	err := c.do(ctx, request{
		op: op, method: http.MethodPost, path: queuesPath(project), query: url.Values{"authorizePipelines": {"false"}}, into: &q,
		body: map[string]any{"name": name, "pool": map[string]int{"id": pool}},
	})
	if err == nil && q.ID == 0 {
		err = invalid(op, "it names no queue")
	}
	return q, err
}

// OpenToAllPipelines says whether all pipelines of the project may use the queue.
func (c *Client) OpenToAllPipelines(ctx context.Context, project string, queue int) (bool, error) {
	var p pipelinePermissions
	err := c.get(ctx, fmt.Sprintf("ask which pipelines may use queue %d", queue), permissionsPath(project, queue), inPreview, &p)
	return p.AllPipelines.Authorized, err
}

// SetOpenToAllPipelines sets whether all pipelines of the project may use the queue.
func (c *Client) SetOpenToAllPipelines(ctx context.Context, project string, queue int, open bool) error {
	var want pipelinePermissions
	want.AllPipelines.Authorized = open
	return c.do(ctx, request{
		op: fmt.Sprintf("set which pipelines may use queue %d", queue), method: http.MethodPatch, path: permissionsPath(project, queue),
		query: inPreview, body: want,
	})
}

type pipelinePermissions struct {
	AllPipelines struct {
		Authorized bool `json:"authorized"`
	} `json:"allPipelines"`
}

func queuesPath(project string) string {
	return url.PathEscape(project) + "/_apis/distributedtask/queues"
}

func permissionsPath(project string, queue int) string {
	return url.PathEscape(project) + "/_apis/pipelines/pipelinePermissions/queue/" + strconv.Itoa(queue)
}
