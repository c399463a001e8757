package emulator

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
	RoleUser:           bitView | bitUse, // only of a pool in a project
}

// bits is what the principal may do in a pool. An agent listens in its own pool and manages nothing
// (agent-protocol.md 6); a job may do nothing with pools.
func (p principal) bits(in *pool) int {
	if p.isAgent {
		return choose(p.poolID == in.id, bitView|bitListen, 0)
	}
	if p.identity == nil || p.unlicensed {
		return 0
	}
	if p.identity.Admin {
		return bitView | bitManage | bitListen | bitAdminister | bitUse | bitCreate
	}
	return roleBits[p.identity.Roles[AllPools]] | roleBits[p.identity.roleOn(in.name)]
}

func (p principal) may(bits int, in *pool) bool { return p.bits(in)&bits == bits }

// mayCreatePools reports whether the principal administers all pools, or the organisation (azure-devops-rest.md 4.3).
func (p principal) mayCreatePools() bool {
	return p.identity != nil && (p.identity.Admin || p.identity.Roles[AllPools] == RoleAdministrator)
}

// poolCreator returns the caller, if it may create pools.
func (e *Emulator) poolCreator(c *request) (*identity, error) {
	if !c.who.mayCreatePools() {
		return nil, errNeeds(c.who, "Manage", "")
	}
	return c.who.identity, nil
}

// visiblePool returns the pool of the request's path, if the caller may see it; a pool that may not be seen is not there.
func (e *Emulator) visiblePool(c *request) (*pool, error) {
	p := e.pool(c.intParam("poolId"))
	if p == nil || !c.who.may(bitView, p) {
		return nil, e.errNoPool(c.who, c.params["poolId"])
	}
	return p, nil
}

// managedPool returns the pool of the request's path, if the caller may manage it.
func (e *Emulator) managedPool(c *request) (*pool, error) {
	p, err := e.visiblePool(c)
	if err == nil && !c.who.may(bitManage, p) {
		err = errNeeds(c.who, "Manage", p.name)
	}
	return p, err
}

// managedAgent returns the agent of the request's path, if the caller may manage it.
func (e *Emulator) managedAgent(c *request) (*agent, error) {
	return e.poolAndAgent(c, bitManage)
}

// poolAndAgent returns the agent of the request's path; need is what the caller must be allowed, in addition to seeing it.
func (e *Emulator) poolAndAgent(c *request, need int) (*agent, error) {
	p := e.pool(c.intParam("poolId"))
	switch {
	case p == nil:
		return nil, e.errNoPool(c.who, c.params["poolId"])
	case !c.who.may(bitView, p): // the answer is that the agent is missing, not the pool
		return nil, errNoAgent(p.id, c.params["agentId"])
	case !c.who.may(need, p):
		return nil, errNeeds(c.who, "Manage", p.name)
	}
	a := p.agent(c.intParam("agentId"))
	if a == nil {
		return nil, errNoAgent(p.id, c.params["agentId"])
	}
	return a, nil
}

// poolPermissions answers HasPoolPermissions with true or false.
func (e *Emulator) poolPermissions(c *request) (any, error) {
	bits := c.intParam("permissions")
	if bits <= 0 {
		return nil, errBadRequest("The value %q is no set of permissions.", c.params["permissions"])
	}
	p := e.pool(c.intParam("poolId"))
	return p != nil && c.who.may(bits, p), nil
}
