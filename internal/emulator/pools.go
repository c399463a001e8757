package emulator

import (
	"cmp"
	"slices"
	"strings"
)

// poolJSON is a pool on the wire (azure-devops-rest.md 2.1).
type poolJSON struct {
	CreatedOn     *timestamp   `json:"createdOn"`
	AutoProvision bool         `json:"autoProvision"`
	AutoUpdate    bool         `json:"autoUpdate"`
	AutoSize      bool         `json:"autoSize"`
	TargetSize    *int         `json:"targetSize"`
	AgentCloudID  *int         `json:"agentCloudId"`
	CreatedBy     *identityRef `json:"createdBy"`
	Owner         *identityRef `json:"owner"`
	poolReference
}

// poolReference is a pool as a queue shows it.
type poolReference struct {
	ID       int    `json:"id"`
	Scope    string `json:"scope"`
	Name     string `json:"name"`
	IsHosted bool   `json:"isHosted"`
	PoolType string `json:"poolType"`
	Size     int    `json:"size"`
	IsLegacy bool   `json:"isLegacy"`
	Options  string `json:"options"`
}

type identityRef struct {
	DisplayName string `json:"displayName"`
	URL         string `json:"url"`
	ID          string `json:"id"`
	UniqueName  string `json:"uniqueName"`
	ImageURL    string `json:"imageUrl"`
	Descriptor  string `json:"descriptor"`
}

func (e *Emulator) poolJSON(c *request, p *pool) poolJSON {
	owner := e.identityRef(c, e.identities[p.createdBy])
	return poolJSON{
		CreatedOn: timestampOf(p.createdOn), AutoProvision: p.autoProvision, AutoUpdate: p.autoUpdate, AutoSize: true,
		CreatedBy: owner, Owner: owner, poolReference: poolReference{ID: p.id, Scope: e.instanceID, Name: p.name,
			IsHosted: p.hosted, PoolType: p.kind, Size: len(p.agents), Options: p.options()},
	}
}

// identityRef is a user as other resources name it: by the storage key, like all of the service.
func (e *Emulator) identityRef(c *request, id *identity) *identityRef {
	if id == nil {
		return nil
	}
	return &identityRef{DisplayName: id.Name, ID: id.storageKey, UniqueName: id.uniqueName(), Descriptor: id.subject,
		URL:      e.hostURL(c.base, "vssps") + "_apis/Identities/" + id.storageKey,
		ImageURL: e.hostURL(c.base, "") + "_api/_common/identityImage?id=" + id.storageKey}
}

// addPool makes a pool of the organisation's administrator; mu is held.
func (e *Emulator) addPool(name string) *pool {
	e.lastPool++
	p := &pool{id: e.lastPool, name: name, kind: "automation", autoProvision: true, autoUpdate: true, createdOn: e.Now(), createdBy: e.adminOID}
	e.pools = append(e.pools, p)
	e.record(Event{Type: EventPoolAdded, Pool: name})
	return p
}

// getPools is one pool, or the list of those the caller may see: no 403 here, only a shorter list.
func (e *Emulator) getPools(c *request) (any, error) {
	need, ok := actionFilter(c.query("actionFilter"))
	if !ok {
		return nil, errBadRequest("The value %q is no action filter.", c.query("actionFilter"))
	}
	if c.params["poolId"] != "" {
		p, err := e.visiblePool(c)
		if err != nil {
			return nil, err
		}
		if !c.who.may(need, p) {
			return nil, e.errNoPool(c.who, p.id)
		}
		return e.poolJSON(c, p), nil
	}
	name, kind, ids := c.query("poolName"), poolType(c.query("poolType")), intList(c.query("poolIds"))
	return listOf(c, filter(e.pools, func(p *pool) bool {
		return c.who.may(bitView|need, p) && (name == "" || strings.EqualFold(name, p.name)) &&
			(kind == "" || kind == p.kind) && (ids == nil || slices.Contains(ids, p.id))
	}), e.poolJSON), nil
}

// actionFilter reads the enum by name or number: go-api sends names, node-api numbers (azure-devops-rest.md 0).
func actionFilter(s string) (bits int, ok bool) {
	switch strings.ToLower(s) {
	case "", "none", "0":
		return 0, true
	case "manage", "2":
		return bitManage, true
	case "use", "16":
		return bitUse, true
	}
	return 0, false
}

func poolType(s string) string {
	switch strings.ToLower(s) {
	case "automation", "1":
		return "automation"
	case "deployment", "2":
		return "deployment"
	}
	return ""
}

type poolUpdate struct {
	Name          *string   `json:"name"`
	PoolType      enumValue `json:"poolType"`
	AutoProvision *bool     `json:"autoProvision"`
	AutoUpdate    *bool     `json:"autoUpdate"`
}

// createPool ignores autoUpdate false: the real one does, and terraform PATCHes afterwards (azure-devops-rest.md 2.1).
func (e *Emulator) createPool(c *request, creator *identity, in poolUpdate) (any, error) {
	if in.Name == nil || *in.Name == "" {
		return nil, errBadRequest("Value cannot be null. Parameter name: pool.Name")
	}
	if e.poolNamed(*in.Name) != nil {
		return nil, errPoolExists(*in.Name)
	}
	p := e.addPool(*in.Name)
	p.createdBy = creator.ObjectID
	p.autoProvision = in.AutoProvision != nil && *in.AutoProvision
	e.provisionQueues(p)
	creator.setRole(p.name, RoleAdministrator) // the creator of a pool administers it (azure-devops-rest.md 4.3)
	p.kind = cmp.Or(poolType(string(in.PoolType)), p.kind)
	return e.poolJSON(c, p), nil
}

func (e *Emulator) updatePool(c *request, p *pool, in poolUpdate) (any, error) {
	if in.Name != nil {
		if other := e.poolNamed(*in.Name); other != nil && other != p {
			return nil, errPoolExists(*in.Name)
		}
		p.name = *in.Name
	}
	if in.AutoProvision != nil {
		p.autoProvision = *in.AutoProvision
		e.provisionQueues(p)
	}
	if in.AutoUpdate != nil {
		p.autoUpdate = *in.AutoUpdate
	}
	return e.poolJSON(c, p), nil
}

// deletePool removes the pool and its agents; queued jobs of it end as canceled.
func (e *Emulator) deletePool(_ *request, p *pool) (any, error) {
	if a := first(p.agents, func(a *agent) bool { return a.job != nil }); a != nil {
		return nil, e.errJobRuns(a.name, p.name)
	}
	for _, a := range slices.Clone(p.agents) {
		e.removeAgent(a)
	}
	for _, j := range e.jobs {
		if j.pool == p && j.result == "" {
			e.finish(j, "canceled")
		}
	}
	for _, in := range e.projects {
		in.queues = slices.DeleteFunc(in.queues, func(q *queue) bool { return q.pool == p })
	}
	e.pools = without(e.pools, p)
	e.record(Event{Type: EventPoolRemoved, Pool: p.name})
	return noContent, nil
}
