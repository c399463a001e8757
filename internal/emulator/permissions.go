package emulator

import (
	"net/http"
	"strings"
)

// The bits of the DistributedTask security namespace (azure-devops-rest.md 4.3).
const (
	bitView       = 1
	bitManage     = 2
	bitListen     = 4
	bitAdminister = 8
	bitUse        = 16
	bitCreate     = 32
)

// roleBits is what a role on an organisation pool allows.
var roleBits = map[string]int{
	RoleReader:         bitView,
	RoleServiceAccount: bitView | bitListen | bitUse,
	RoleAdministrator:  bitView | bitManage | bitAdminister | bitUse,
	RoleUser:           bitView | bitUse, // of a pool in a project alone
}

// bits is what the principal may do in a pool. An agent listens in its own pool and manages nothing
// (agent-protocol.md 6); a job has no business with pools.
func (p principal) bits(in *pool) int {
	if p.isAgent {
		if p.poolID == in.id {
			return bitView | bitListen
		}
		return 0
	}
	if p.identity == nil || p.unlicensed {
		return 0
	}
	if p.identity.Admin {
		return bitView | bitManage | bitListen | bitAdminister | bitUse | bitCreate
	}
	bits := roleBits[p.identity.Roles[AllPools]]
	for name, role := range p.identity.Roles {
		if strings.EqualFold(name, in.name) {
			bits |= roleBits[role]
		}
	}
	return bits
}

func (p principal) may(bits int, in *pool) bool { return p.bits(in)&bits == bits }

// mayCreatePools: only who administers all pools, or the organisation (azure-devops-rest.md 4.3).
func (p principal) mayCreatePools() bool {
	return p.identity != nil && (p.identity.Admin || p.identity.Roles[AllPools] == RoleAdministrator)
}

// visiblePool is the pool of the request's path, if the caller may see it; a pool that may not be seen is not there.
func (e *Emulator) visiblePool(c *request) (*pool, error) {
	p := e.pools[c.intParam("poolId")]
	if p == nil || !c.who.may(bitView, p) {
		return nil, e.errNoPool(c.who, c.params["poolId"])
	}
	return p, nil
}

// managedPool is the pool of the request's path, if the caller may manage it.
func (e *Emulator) managedPool(c *request) (*pool, error) {
	p, err := e.visiblePool(c)
	if err != nil {
		return nil, err
	}
	if !c.who.may(bitManage, p) {
		return nil, errNeeds(c.who.display(), "Manage", p.name)
	}
	return p, nil
}

// poolAndAgent is the agent of the request's path; need is what the caller must be allowed besides seeing it.
func (e *Emulator) poolAndAgent(c *request, need int) (*agent, error) {
	p := e.pools[c.intParam("poolId")]
	if p == nil {
		return nil, e.errNoPool(c.who, c.params["poolId"])
	}
	if !c.who.may(bitView, p) { // the agent, not the pool, is what such a caller is told is missing
		return nil, errNoAgent(p.id, c.params["agentId"])
	}
	if !c.who.may(need, p) {
		return nil, errNeeds(c.who.display(), "Manage", p.name)
	}
	a := p.agent(c.intParam("agentId"))
	if a == nil {
		return nil, errNoAgent(p.id, c.params["agentId"])
	}
	return a, nil
}

// poolPermissions answers HasPoolPermissions with true or false.
func (e *Emulator) poolPermissions(c *request) (reply, error) {
	bits := c.intParam("permissions")
	if bits <= 0 {
		return reply{}, errBadRequest("The value %q is no set of permissions.", c.params["permissions"])
	}
	p := e.pools[c.intParam("poolId")]
	return jsonReply(http.StatusOK, p != nil && c.who.may(bits, p)), nil
}
