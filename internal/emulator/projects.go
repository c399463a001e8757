package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Projects hold queues: a queue is an organisation's pool in a project (azure-devops-rest.md 2.5).

type project struct {
	id     string
	name   string
	queues []*queue
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
	out := ProjectState{ID: p.id, Name: p.name, Queues: []QueueState{}}
	for _, q := range p.queues {
		out.Queues = append(out.Queues, QueueState{q.id, q.name, q.pool.id, q.allPipelines, slices.Clone(q.pipelines)})
	}
	return out
}

func (e *Emulator) addProject(name string) {
	e.projects = append(e.projects, &project{id: newGUID(), name: name})
	for _, p := range e.sortedPools() {
		e.provisionQueues(p)
	}
}

// provisionQueues gives a pool that asks for it a queue in each project.
func (e *Emulator) provisionQueues(p *pool) {
	for _, in := range e.projects {
		if p.autoProvision && in.queueOf(p) == nil {
			e.addQueue(in, p.name, p)
		}
	}
}

func (p *project) queueOf(of *pool) *queue {
	i := slices.IndexFunc(p.queues, func(q *queue) bool { return q.pool == of })
	if i < 0 {
		return nil
	}
	return p.queues[i]
}

func (e *Emulator) addQueue(in *project, name string, p *pool) *queue {
	e.lastQueue++
	q := &queue{id: e.lastQueue, project: in, name: name, pool: p, roles: map[string]string{}}
	in.queues = append(in.queues, q)
	e.record(Event{Type: EventQueueAdded, Pool: p.name, Detail: in.name})
	return q
}

// removeQueues takes a pool that is deleted out of every project.
func (e *Emulator) removeQueues(of *pool) {
	for _, p := range e.projects {
		p.queues = slices.DeleteFunc(p.queues, func(q *queue) bool { return q.pool == of })
	}
}

func (e *Emulator) projectNamed(s string) (*project, error) {
	for _, p := range e.projects {
		if strings.EqualFold(p.name, s) || strings.EqualFold(p.id, s) {
			return p, nil
		}
	}
	return nil, &apiError{http.StatusNotFound, "ProjectDoesNotExistWithNameException", "Microsoft.TeamFoundation.Core.WebApi",
		"TF200016: The following project does not exist: " + s + ". Verify that the name of the project is correct and that the project exists on the specified Azure DevOps Server."}
}

type projectJSON struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	URL        string `json:"url"`
	State      string `json:"state"`
	Revision   int    `json:"revision"`
	Visibility string `json:"visibility"`
}

func (e *Emulator) projectJSON(c *request, p *project) projectJSON {
	return projectJSON{p.id, p.name, e.hostURL(c.base, "") + "_apis/projects/" + p.id, "wellFormed", 1, "private"}
}

func (e *Emulator) getProjects(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	if name := c.params["projectId"]; name != "" {
		p, err := e.projectNamed(name)
		if err != nil {
			return reply{}, err
		}
		return jsonReply(http.StatusOK, e.projectJSON(c, p)), nil
	}
	var out []projectJSON
	for _, p := range e.projects {
		out = append(out, e.projectJSON(c, p))
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

type queuePoolJSON struct {
	ID       int    `json:"id"`
	Scope    string `json:"scope"`
	Name     string `json:"name"`
	IsHosted bool   `json:"isHosted"`
	PoolType string `json:"poolType"`
	Size     int    `json:"size"`
	IsLegacy bool   `json:"isLegacy"`
	Options  string `json:"options"`
}

type queueJSON struct {
	ID        int           `json:"id"`
	ProjectID string        `json:"projectId"`
	Name      string        `json:"name"`
	Pool      queuePoolJSON `json:"pool"`
}

func (e *Emulator) queueJSON(q *queue) queueJSON {
	p := q.pool
	return queueJSON{q.id, q.project.id, q.name, queuePoolJSON{ID: p.id, Scope: e.instanceID, Name: p.name, PoolType: p.kind, Size: len(p.agents), Options: "none"}}
}

// bitsIn is what the principal may do with a pool in a project: its role there, or an administrator's everything.
// Who may see the pool may see it here.
func (p principal) bitsIn(q *queue) int {
	if p.identity == nil {
		return 0
	}
	if p.identity.Admin {
		return bitView | bitManage | bitAdminister | bitUse | bitCreate
	}
	return roleBits[q.roles[p.identity.ObjectID]] | p.bits(q.pool)&bitView
}

func (e *Emulator) visibleQueue(c *request, id string) (*queue, error) {
	in, err := e.projectNamed(c.params["project"])
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(id)
	for _, q := range in.queues {
		if q.id == n && c.who.bitsIn(q)&bitView != 0 {
			return q, nil
		}
	}
	return nil, taskError(http.StatusNotFound, "TaskAgentQueueNotFoundException", "No agent queue found with identifier %s.", id)
}

func (e *Emulator) getQueues(c *request) (reply, error) {
	if id := c.params["queueId"]; id != "" {
		q, err := e.visibleQueue(c, id)
		if err != nil {
			return reply{}, err
		}
		return jsonReply(http.StatusOK, e.queueJSON(q)), nil
	}
	in, err := e.projectNamed(c.params["project"])
	if err != nil {
		return reply{}, err
	}
	need, ok := actionFilter(c.query("actionFilter"))
	if !ok {
		return reply{}, errBadRequest("The value %q is no action filter.", c.query("actionFilter"))
	}
	names, ids, poolIDs := splitList(c.query("queueNames")), intList(c.query("queueIds")), intList(c.query("poolIds"))
	if one := c.query("queueName"); one != "" {
		names = append(names, one)
	}
	var out []queueJSON
	for _, q := range in.queues {
		if c.who.bitsIn(q)&(bitView|need) == bitView|need && (len(names) == 0 || containsFold(names, q.name)) &&
			(ids == nil || slices.Contains(ids, q.id)) && (poolIDs == nil || slices.Contains(poolIDs, q.pool.id)) {
			out = append(out, e.queueJSON(q))
		}
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

// createQueue puts a pool into a project; without a pool's id it makes the pool too.
func (e *Emulator) createQueue(c *request) (reply, error) {
	in, err := e.projectNamed(c.params["project"])
	if err != nil {
		return reply{}, err
	}
	var want struct {
		Name string `json:"name"`
		Pool struct {
			ID int `json:"id"`
		} `json:"pool"`
	}
	if err := c.decode(&want); err != nil {
		return reply{}, err
	}
	if c.who.identity == nil || !c.who.identity.Admin {
		return reply{}, errNeeds(c.who.display(), "Create", "")
	}
	p := e.pools[want.Pool.ID]
	switch {
	case want.Name == "":
		return reply{}, errBadRequest("Value cannot be null. Parameter name: queue.Name")
	case p == nil && want.Pool.ID != 0:
		return reply{}, e.errNoPool(c.who, want.Pool.ID)
	case slices.ContainsFunc(in.queues, func(q *queue) bool { return strings.EqualFold(q.name, want.Name) }):
		return reply{}, taskError(http.StatusConflict, "TaskAgentQueueExistsException", "Agent queue %s already exists.", want.Name)
	case p == nil:
		p = e.addPool(want.Name)
		p.autoProvision = false
	}
	q := e.addQueue(in, want.Name, p)
	if c.flag("authorizePipelines") {
		e.authorizePipelines(c, q, true)
	}
	return jsonReply(http.StatusOK, e.queueJSON(q)), nil
}

func (e *Emulator) deleteQueue(c *request) (reply, error) {
	q, err := e.visibleQueue(c, c.params["queueId"])
	if err != nil {
		return reply{}, err
	}
	if c.who.bitsIn(q)&bitManage == 0 {
		return reply{}, errNeeds(c.who.display(), "Manage", q.name)
	}
	q.project.queues = slices.DeleteFunc(q.project.queues, func(other *queue) bool { return other == q })
	e.record(Event{Type: EventQueueRemoved, Pool: q.pool.name, Detail: q.project.name})
	return noContent(), nil
}

// queueRoles is the target of roles on one pool in one project.
func (e *Emulator) queueRoles(c *request, resource string) (roleTarget, error) {
	projectID, queueID, _ := strings.Cut(resource, "_")
	c.params["project"] = projectID
	q, err := e.visibleQueue(c, queueID)
	if err != nil {
		return roleTarget{}, err
	}
	return roleTarget{scope: scopeQueue, name: q.name, mayView: true, mayManage: c.who.bitsIn(q)&bitAdminister != 0,
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
	q.allPipelines, q.authorizedBy, q.authorizedOn = all, c.who.identity, e.now()
	kind := EventQueueOpened
	if !all {
		kind = EventQueueClosed
	}
	e.record(Event{Type: kind, Pool: q.pool.name, Detail: q.project.name})
}

func (e *Emulator) permittedQueue(c *request) (*queue, error) {
	if !strings.EqualFold(c.params["resourceType"], "queue") {
		return nil, errBadRequest("The resource type %q is not known here.", c.params["resourceType"])
	}
	return e.visibleQueue(c, c.params["resourceId"])
}

func (e *Emulator) getPipelinePermissions(c *request) (reply, error) {
	q, err := e.permittedQueue(c)
	if err != nil {
		return reply{}, err
	}
	return e.permissionsReply(q), nil
}

func (e *Emulator) permissionsReply(q *queue) reply {
	pipelines := []map[string]any{}
	for _, id := range q.pipelines {
		pipelines = append(pipelines, map[string]any{"id": id, "authorized": true})
	}
	out := map[string]any{"resource": map[string]string{"type": "queue", "id": strconv.Itoa(q.id), "name": q.name}, "pipelines": pipelines}
	if q.allPipelines { // absent as long as nobody has opened it
		by := map[string]any{}
		if q.authorizedBy != nil {
			by = map[string]any{"displayName": q.authorizedBy.Name, "id": q.authorizedBy.storageKey}
		}
		out["allPipelines"] = map[string]any{"authorized": true, "authorizedBy": by, "authorizedOn": timestampOf(q.authorizedOn)}
	}
	return jsonReply(http.StatusOK, out)
}

func (e *Emulator) patchPipelinePermissions(c *request) (reply, error) {
	q, err := e.permittedQueue(c)
	if err != nil {
		return reply{}, err
	}
	if c.who.bitsIn(q)&bitAdminister == 0 {
		return reply{}, errNeeds(c.who.display(), "Manage", q.name)
	}
	var in struct {
		AllPipelines *struct {
			Authorized bool `json:"authorized"`
		} `json:"allPipelines"`
		Pipelines []struct {
			ID         int  `json:"id"`
			Authorized bool `json:"authorized"`
		} `json:"pipelines"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.AllPipelines != nil && in.AllPipelines.Authorized != q.allPipelines {
		e.authorizePipelines(c, q, in.AllPipelines.Authorized)
	}
	for _, p := range in.Pipelines {
		q.pipelines = slices.DeleteFunc(q.pipelines, func(id int) bool { return id == p.ID })
		if p.Authorized {
			q.pipelines = append(q.pipelines, p.ID)
		}
	}
	return e.permissionsReply(q), nil
}
