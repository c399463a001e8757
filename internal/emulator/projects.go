package emulator

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Projects hold queues: a queue is an organisation's pool in a project (azure-devops-rest.md 2.5).

type project struct {
	id      string
	name    string
	scopeID string // in its descriptor, as the graph's scope of groups
	team    string // id of the default team
	updated time.Time
	queues  []*queue
}

type queue struct {
	id           int
	project      *project
	name         string
	pool         *pool
	roles        map[string]string // by object id
	allPipelines bool
	authorizedBy *identity
	authorizedOn time.Time
	pipelines    []int // those that are authorized one by one
}

// ProjectState is a project and the pools in it.
type ProjectState struct {
	ID     string       `json:"id"`
	Name   string       `json:"name"`
	Queues []QueueState `json:"queues"`
}

// QueueState is a pool in a project.
type QueueState struct {
	ID           int    `json:"id"`
	Name         string `json:"name"`
	PoolID       int    `json:"poolId"`
	AllPipelines bool   `json:"allPipelines"` // every pipeline of the project may use it
	Pipelines    []int  `json:"pipelines,omitempty"`
}

func (p *project) state() ProjectState {
	return ProjectState{p.id, p.name, each(p.queues, func(q *queue) QueueState {
		return QueueState{q.id, q.name, q.pool.id, q.allPipelines, slices.Clone(q.pipelines)}
	})}
}

func (e *Emulator) addProject(name string) {
	e.projects = append(e.projects, &project{id: newGUID(), name: name, scopeID: newGUID(), team: newGUID(), updated: e.Now()})
	for _, p := range e.pools {
		e.provisionQueues(p)
	}
}

// provisionQueues gives a pool that asks for it a queue in each project.
func (e *Emulator) provisionQueues(p *pool) {
	for _, in := range e.projects {
		if p.autoProvision && !slices.ContainsFunc(in.queues, func(q *queue) bool { return q.pool == p }) {
			e.addQueue(in, p.name, p)
		}
	}
}

func (e *Emulator) addQueue(in *project, name string, p *pool) *queue {
	e.lastQueue++
	q := &queue{id: e.lastQueue, project: in, name: name, pool: p, roles: map[string]string{}}
	in.queues = append(in.queues, q)
	e.record(Event{Type: EventQueueAdded, Pool: p.name, Detail: in.name})
	return q
}

// projectOf returns the project that a pool's jobs come from: the first that has the pool.
func (e *Emulator) projectOf(p *pool) *project {
	in := first(e.projects, func(in *project) bool {
		return slices.ContainsFunc(in.queues, func(q *queue) bool { return q.pool == p })
	})
	return cmp.Or(in, e.projects[0])
}

func (e *Emulator) projectNamed(s string) (*project, error) {
	if p := first(e.projects, func(p *project) bool { return strings.EqualFold(p.name, s) || strings.EqualFold(p.id, s) }); p != nil {
		return p, nil
	}
	return nil, apiError(http.StatusNotFound, "ProjectDoesNotExistWithNameException", "Microsoft.TeamFoundation.Core.WebApi",
		"TF200016: The following project does not exist: %s. Verify that the name of the project is correct and that the project exists on the specified Azure DevOps Server.", s)
}

// pathProject returns the project of the request's path.
func (e *Emulator) pathProject(c *request) (*project, error) {
	return e.projectNamed(c.params["project"])
}

type queueJSON struct {
	ID        int           `json:"id"`
	ProjectID string        `json:"projectId"`
	Name      string        `json:"name"`
	Pool      poolReference `json:"pool"`
}

func (e *Emulator) queueJSON(_ *request, q *queue) queueJSON {
	p := q.pool
	return queueJSON{q.id, q.project.id, q.name, poolReference{ID: p.id, Scope: e.instanceID, Name: p.name, PoolType: p.kind, Size: len(p.agents), Options: "none"}}
}

// mayIn reports whether the principal may do all of this with a pool in a project: by its role there, or as an
// administrator. Who may see the pool may see it here.
func (p principal) mayIn(q *queue, bits int) bool {
	if p.identity == nil {
		return false
	}
	has := roleBits[q.roles[p.identity.ObjectID]] | p.bits(q.pool)&bitView
	if p.identity.Admin {
		has = bitView | bitManage | bitAdminister | bitUse | bitCreate
	}
	return has&bits == bits
}

// pathQueue returns the queue of the request's path, if the caller may see it.
func (e *Emulator) pathQueue(c *request) (*queue, error) {
	return e.visibleQueue(c, c.params["queueId"])
}

func (e *Emulator) visibleQueue(c *request, id string) (*queue, error) {
	in, err := e.pathProject(c)
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(id)
	if q := first(in.queues, func(q *queue) bool { return q.id == n && c.who.mayIn(q, bitView) }); q != nil {
		return q, nil
	}
	return nil, taskError(http.StatusNotFound, "TaskAgentQueueNotFoundException", "No agent queue found with identifier %s.", id)
}

func (e *Emulator) getQueues(c *request, in *project) (any, error) {
	if c.params["queueId"] != "" {
		q, err := e.pathQueue(c)
		if err != nil {
			return nil, err
		}
		return e.queueJSON(c, q), nil
	}
	need, ok := actionFilter(c.query("actionFilter"))
	if !ok {
		return nil, errBadRequest("The value %q is no action filter.", c.query("actionFilter"))
	}
	names, ids, poolIDs := splitList(c.query("queueNames")), intList(c.query("queueIds")), intList(c.query("poolIds"))
	if one := c.query("queueName"); one != "" {
		names = append(names, one)
	}
	return listOf(c, filter(in.queues, func(q *queue) bool {
		return c.who.mayIn(q, bitView|need) && (len(names) == 0 || containsFold(names, q.name)) &&
			(ids == nil || slices.Contains(ids, q.id)) && (poolIDs == nil || slices.Contains(poolIDs, q.pool.id))
	}), e.queueJSON), nil
}

type queueSpec struct {
	Name string `json:"name"`
	Pool struct {
		ID int `json:"id"`
	} `json:"pool"`
}

// createQueue puts a pool into a project; without a pool's id it makes the pool too.
func (e *Emulator) createQueue(c *request, in *project, want queueSpec) (any, error) {
	if c.who.identity == nil || !c.who.identity.Admin {
		return nil, errNeeds(c.who, "Create", "")
	}
	p := e.pool(want.Pool.ID)
	switch {
	case want.Name == "":
		return nil, errBadRequest("Value cannot be null. Parameter name: queue.Name")
	case p == nil && want.Pool.ID != 0:
		return nil, e.errNoPool(c.who, want.Pool.ID)
	case slices.ContainsFunc(in.queues, func(q *queue) bool { return strings.EqualFold(q.name, want.Name) }):
		return nil, taskError(http.StatusConflict, "TaskAgentQueueExistsException", "Agent queue %s already exists.", want.Name)
	case p == nil:
		p = e.addPool(want.Name)
		p.createdBy = c.who.identity.ObjectID
		p.autoProvision = false
	}
	q := e.addQueue(in, want.Name, p)
	if c.flag("authorizePipelines") {
		e.authorizePipelines(c, q, true)
	}
	return e.queueJSON(c, q), nil
}

func (e *Emulator) deleteQueue(c *request, q *queue) (any, error) {
	if !c.who.mayIn(q, bitManage) {
		return nil, errNeeds(c.who, "Manage", q.name)
	}
	q.project.queues = without(q.project.queues, q)
	e.record(Event{Type: EventQueueRemoved, Pool: q.pool.name, Detail: q.project.name})
	return noContent, nil
}

// queueRoles is the target of roles on one pool in one project.
func (e *Emulator) queueRoles(c *request, resource string) (roleTarget, error) {
	projectID, queueID, _ := strings.Cut(resource, "_")
	c.params["project"] = projectID
	q, err := e.visibleQueue(c, queueID)
	if err != nil {
		return roleTarget{}, err
	}
	return roleTarget{scope: scopeQueue, name: q.name, mayView: true, mayManage: c.who.mayIn(q, bitAdminister),
		roles: func(id *identity) (string, string) { return q.roles[id.ObjectID], "" },
		assign: func(id *identity, role string) {
			if role == "" {
				delete(q.roles, id.ObjectID)
				return
			}
			q.roles[id.ObjectID] = role
		}}, nil
}

func (e *Emulator) authorizePipelines(c *request, q *queue, all bool) {
	q.allPipelines, q.authorizedBy, q.authorizedOn = all, c.who.identity, e.Now()
	e.record(Event{Type: choose(all, EventQueueOpened, EventQueueClosed), Pool: q.pool.name, Detail: q.project.name})
}

// permittedQueue returns the queue whose pipelines the path is about.
func (e *Emulator) permittedQueue(c *request) (*queue, error) {
	if !strings.EqualFold(c.params["resourceType"], "queue") {
		return nil, errBadRequest("The resource type %q is not known here.", c.params["resourceType"])
	}
	return e.visibleQueue(c, c.params["resourceId"])
}

// administeredQueue returns the same, if the caller may change it.
func (e *Emulator) administeredQueue(c *request) (*queue, error) {
	q, err := e.permittedQueue(c)
	if err == nil && !c.who.mayIn(q, bitAdminister) {
		err = errNeeds(c.who, "Manage", q.name)
	}
	return q, err
}

func (e *Emulator) getPipelinePermissions(_ *request, q *queue) (any, error) {
	pipelines := each(q.pipelines, func(id int) obj { return obj{"id": id, "authorized": true} })
	out := obj{"resource": obj{"type": "queue", "id": strconv.Itoa(q.id), "name": q.name}, "pipelines": pipelines}
	if q.allPipelines { // absent as long as nobody has opened it
		by := obj{}
		if q.authorizedBy != nil {
			by = obj{"displayName": q.authorizedBy.Name, "id": q.authorizedBy.storageKey}
		}
		out["allPipelines"] = obj{"authorized": true, "authorizedBy": by, "authorizedOn": timestampOf(q.authorizedOn)}
	}
	return out, nil
}

type pipelinePermissions struct {
	AllPipelines *struct {
		Authorized bool `json:"authorized"`
	} `json:"allPipelines"`
	Pipelines []struct {
		ID         int  `json:"id"`
		Authorized bool `json:"authorized"`
	} `json:"pipelines"`
}

func (e *Emulator) patchPipelinePermissions(c *request, q *queue, in pipelinePermissions) (any, error) {
	if in.AllPipelines != nil && in.AllPipelines.Authorized != q.allPipelines {
		e.authorizePipelines(c, q, in.AllPipelines.Authorized)
	}
	for _, p := range in.Pipelines {
		q.pipelines = without(q.pipelines, p.ID)
		if p.Authorized {
			q.pipelines = append(q.pipelines, p.ID)
		}
	}
	return e.getPipelinePermissions(c, q)
}
