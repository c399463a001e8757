package emulator

import (
	"net/http"
	"slices"
	"strconv"
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
	ID            int          `json:"id"`
	Scope         string       `json:"scope"`
	Name          string       `json:"name"`
	IsHosted      bool         `json:"isHosted"`
	PoolType      string       `json:"poolType"`
	Size          int          `json:"size"`
	IsLegacy      bool         `json:"isLegacy"`
	Options       string       `json:"options"`
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
	org := e.hostURL(c.base, "")
	owner := &identityRef{DisplayName: "Emulated Admin", ID: e.instanceID, UniqueName: "admin@" + e.opts.Org,
		URL: e.hostURL(c.base, "vssps") + "_apis/Identities/" + e.instanceID, ImageURL: org + "_api/_common/identityImage?id=" + e.instanceID,
		Descriptor: "aad." + b64url.EncodeToString([]byte(e.instanceID))}
	return poolJSON{
		CreatedOn: timestampOf(p.createdOn), AutoProvision: p.autoProvision, AutoUpdate: p.autoUpdate, AutoSize: true,
		CreatedBy: owner, Owner: owner, ID: p.id, Scope: e.instanceID, Name: p.name,
		IsHosted: p.hosted, PoolType: p.kind, Size: len(p.agents), Options: p.options(),
	}
}

// addPool makes a pool; mu is held.
func (e *Emulator) addPool(name string) *pool {
	e.lastPool++
	p := &pool{id: e.lastPool, name: name, kind: "automation", autoProvision: true, autoUpdate: true, createdOn: e.now()}
	e.pools[p.id] = p
	e.record(Event{Type: EventPoolAdded, Pool: name})
	return p
}

// getPools is one pool, or the list of those the caller may see: no 403 here, only a shorter list.
func (e *Emulator) getPools(c *request) (reply, error) {
	need, ok := actionFilter(c.query("actionFilter"))
	if !ok {
		return reply{}, errBadRequest("The value %q is no action filter.", c.query("actionFilter"))
	}
	if c.params["poolId"] != "" {
		p, err := e.visiblePool(c)
		if err != nil {
			return reply{}, err
		}
		if !c.who.may(need, p) {
			return reply{}, e.errNoPool(c.who, p.id)
		}
		return jsonReply(http.StatusOK, e.poolJSON(c, p)), nil
	}
	name, kind, ids := c.query("poolName"), poolType(c.query("poolType")), intList(c.query("poolIds"))
	out := []poolJSON{}
	for _, p := range e.sortedPools() {
		if c.who.may(bitView|need, p) && (name == "" || strings.EqualFold(name, p.name)) &&
			(kind == "" || kind == p.kind) && (ids == nil || slices.Contains(ids, p.id)) {
			out = append(out, e.poolJSON(c, p))
		}
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
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

// intList reads "1,2"; nil for an empty one.
func intList(s string) []int {
	if s == "" {
		return nil
	}
	out := []int{}
	for f := range strings.SplitSeq(s, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(f)); err == nil {
			out = append(out, n)
		}
	}
	return out
}

type poolUpdate struct {
	Name          *string   `json:"name"`
	PoolType      enumValue `json:"poolType"`
	AutoProvision *bool     `json:"autoProvision"`
	AutoUpdate    *bool     `json:"autoUpdate"`
}

// createPool ignores autoUpdate false: the real one does, and terraform PATCHes afterwards (azure-devops-rest.md 2.1).
func (e *Emulator) createPool(c *request) (reply, error) {
	if !c.who.mayCreatePools() {
		return reply{}, errNeeds(c.who.display(), "Manage", "")
	}
	var in poolUpdate
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name == nil || *in.Name == "" {
		return reply{}, errBadRequest("Value cannot be null. Parameter name: pool.Name")
	}
	if e.poolNamed(*in.Name) != nil {
		return reply{}, errPoolExists(*in.Name)
	}
	p := e.addPool(*in.Name)
	p.autoProvision = in.AutoProvision != nil && *in.AutoProvision
	e.provisionQueues(p)
	c.who.identity.setRole(p.name, RoleAdministrator) // who makes a pool administers it (azure-devops-rest.md 4.3)
	if k := poolType(string(in.PoolType)); k != "" {
		p.kind = k
	}
	return jsonReply(http.StatusOK, e.poolJSON(c, p)), nil
}

func (e *Emulator) updatePool(c *request) (reply, error) {
	p, err := e.managedPool(c)
	if err != nil {
		return reply{}, err
	}
	var in poolUpdate
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name != nil {
		if other := e.poolNamed(*in.Name); other != nil && other != p {
			return reply{}, errPoolExists(*in.Name)
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
	return jsonReply(http.StatusOK, e.poolJSON(c, p)), nil
}

// deletePool takes the pool and its agents away; queued jobs of it end as canceled.
func (e *Emulator) deletePool(c *request) (reply, error) {
	p, err := e.managedPool(c)
	if err != nil {
		return reply{}, err
	}
	for _, a := range p.agents {
		if a.job != nil {
			return reply{}, e.errJobRuns(a.name, p.name)
		}
	}
	for _, a := range slices.Clone(p.agents) {
		e.removeAgent(a)
	}
	for _, j := range e.jobs {
		if j.pool == p && j.result == "" {
			e.finish(j, "canceled")
		}
	}
	e.removeQueues(p)
	delete(e.pools, p.id)
	e.record(Event{Type: EventPoolRemoved, Pool: p.name})
	return noContent(), nil
}
