package emulator

import (
	"fmt"
)

// Policies are the organisation's settings about access (azure-devops-rest.md 0, 1.3 and 5).
type Policies struct {
	// WithoutEntra: an organisation of Microsoft accounts. It names the zero tenant and accepts no Entra token.
	WithoutEntra bool `json:"withoutEntra,omitempty"`
	// PublicProjects: unknown callers are anonymous and see what is public: connectionData answers 200, with the
	// anonymous user.
	PublicProjects bool `json:"publicProjects,omitempty"`
	// NoThirdPartyOAuth: the policy "Third-party application access via OAuth" is off. It is about Azure DevOps' own
	// OAuth apps, so that it changes nothing for an Entra token or a PAT.
	NoThirdPartyOAuth bool `json:"noThirdPartyOAuth,omitempty"`
}

// The places at which a conditional access policy blocks an identity.
const (
	PolicyAtService = "service" // Azure DevOps answers 403 VS403463
	PolicyAtEntra   = "entra"   // Entra ID gives no token: AADSTS53003
)

// zeroGUID is the tenant that an organisation of Microsoft accounts names.
const zeroGUID = "00000000-0000-0000-0000-000000000000"

// anonymousID is the user that unknown callers count as (azure-devops-rest.md 1.3).
const anonymousID = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

// SetPolicies sets all policies.
func (e *Emulator) SetPolicies(p Policies) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.policies = p
}

// Policies returns the current policies.
func (e *Emulator) Policies() Policies {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.policies
}

// tenant is the tenant that the organisation names in its answers.
func (p Policies) tenant(connected string) string {
	return choose(p.WithoutEntra, zeroGUID, connected)
}

// unknownCaller handles a call without a readable credential: it is anonymous if the organisation has public projects and
// the resource is public, else it is refused.
func (e *Emulator) unknownCaller(c *request, kind scheme, message string) (principal, error) {
	if !e.policies.PublicProjects {
		return principal{}, e.refuse(c, kind, message)
	}
	if c.route.resource == "ConnectionData" {
		return principal{isAnonymous: true}, nil
	}
	return principal{}, e.refuse(c, kind, textNoAccess(anonymousID))
}

// PoolSpec is a pool that is not made through the service's own API.
type PoolSpec struct {
	Name       string `json:"name"`
	Hosted     bool   `json:"hosted,omitempty"`     // Microsoft's agents
	Elastic    bool   `json:"elastic,omitempty"`    // a scale set's, which the service fills itself
	Deployment bool   `json:"deployment,omitempty"` // of deployment groups
}

// PutPool adds a pool, or changes what kind of pool it is.
func (e *Emulator) PutPool(spec PoolSpec) error {
	if spec.Name == "" {
		return fmt.Errorf("cannot keep a pool: it has no name")
	}
	defer e.change()()
	p := e.poolNamed(spec.Name)
	if p == nil {
		p = e.addPool(spec.Name)
	}
	p.hosted, p.elastic, p.kind = spec.Hosted, spec.Elastic, choose(spec.Deployment, "deployment", "automation")
	return nil
}

// options returns the flags of a pool, in the form of the wire (agent-protocol.md 10.3).
func (p *pool) options() string {
	return choose(p.elastic, "elasticPool, singleUseAgents", "none")
}
