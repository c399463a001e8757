package azdo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Pool is an agent pool of the organisation.
type Pool struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	IsHosted bool   `json:"isHosted"`
	PoolType string `json:"poolType"` // "automation" or "deployment"
	Options  string `json:"options"`  // "none", "elasticPool", …
	// AutoUpdate says that its agents are asked to update themselves.
	AutoUpdate bool `json:"autoUpdate"`
}

// ClosedReason is why nobody but Azure DevOps can add agents to a pool, "" if others
// can (agent-protocol.md 10.3).
func (p Pool) ClosedReason() string {
	switch {
	case p.IsHosted:
		return "its agents are hosted by Microsoft"
	case strings.Contains(strings.ToLower(p.Options), "elasticpool"):
		return "it is a scale set pool, which Azure DevOps fills itself"
	case strings.EqualFold(p.PoolType, "deployment"):
		return "it is a deployment pool, whose agents take no jobs of a pool"
	}
	return ""
}

// Agent is a registration in a pool.
type Agent struct {
	ID                 int               `json:"id,omitempty"`
	Name               string            `json:"name,omitempty"`
	Version            string            `json:"version,omitempty"`
	OSDescription      string            `json:"osDescription,omitempty"`
	Enabled            *bool             `json:"enabled,omitempty"`
	Status             string            `json:"status,omitempty"` // "online" or "offline"
	ProvisioningState  string            `json:"provisioningState,omitempty"`
	MaxParallelism     int               `json:"maxParallelism,omitempty"`
	CreatedOn          Time              `json:"createdOn,omitzero"`
	StatusChangedOn    Time              `json:"statusChangedOn,omitzero"`
	Authorization      *Authorization    `json:"authorization,omitempty"`
	SystemCapabilities map[string]string `json:"systemCapabilities,omitempty"`
	UserCapabilities   map[string]string `json:"userCapabilities,omitempty"`
	AssignedRequest    *JobRequest       `json:"assignedRequest,omitempty"`
	// LastCompletedRequest is the job that the agent finished last.
	LastCompletedRequest *JobRequest `json:"lastCompletedRequest,omitempty"`
	Properties           Properties  `json:"properties,omitempty"`
}

// IsEnabled says whether the server may assign jobs to the agent.
func (a Agent) IsEnabled() bool { return a.Enabled == nil || *a.Enabled }

// Online says that the agent has a session.
func (a Agent) Online() bool { return strings.EqualFold(a.Status, "online") }

// Since is when the agent came into its status, for a sentence: as RFC 3339, or
// that nobody knows.
func (a Agent) Since() string {
	at := a.StatusChangedOn.Time
	if at.IsZero() {
		at = a.CreatedOn.Time
	}
	if at.IsZero() {
		return "an unknown time"
	}
	return at.UTC().Format(time.RFC3339)
}

// Authorization is how the agent's own listener logs on: by its key, as
// ClientID, at AuthorizationURL. The server returns it to whoever adds the agent.
type Authorization struct {
	ClientID         string     `json:"clientId,omitempty"`
	AuthorizationURL string     `json:"authorizationUrl,omitempty"`
	PublicKey        *PublicKey `json:"publicKey,omitempty"`
}

// PublicKey is the agent's RSA key: big-endian bytes, base64 on the wire.
type PublicKey struct {
	Exponent []byte `json:"exponent"`
	Modulus  []byte `json:"modulus"`
}

// Properties is the server's bag of typed values: {"Name":{"$type":…,"$value":…}},
// in which plain values occur too (agent-protocol.md 2.3).
type Properties map[string]json.RawMessage

// Text returns a property that is a string, "" when it is not there.
func (p Properties) Text(name string) string {
	for key, raw := range p {
		if !strings.EqualFold(key, name) {
			continue
		}
		var typed struct {
			Value string `json:"$value"`
		}
		if json.Unmarshal(raw, &typed) == nil && typed.Value != "" {
			return typed.Value
		}
		var bare string
		if json.Unmarshal(raw, &bare) == nil {
			return bare
		}
	}
	return ""
}

// Time is a server's point in time: ISO 8601 with up to seven digits of a
// second; unset it is 0001-01-01T00:00:00 without a zone (azure-devops-rest.md 0).
type Time struct{ time.Time }

// UnmarshalJSON accepts what RFC 3339 is not enough for.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		return nil //nolint:nilerr // a null or odd date is a date nobody knows
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, s); err == nil {
			t.Time = at
			return nil
		}
	}
	return nil
}

// PoolRef says which pool: by its id, or by its name if the id is 0.
type PoolRef struct {
	ID   int
	Name string
}

// PoolNotFound is the server's name for a pool that is not there, or that the
// caller may not view (azure-devops-rest.md 2.1).
const PoolNotFound = "TaskAgentPoolNotFoundException"

// FindPool finds a pool; by its name only one that can hold our agents. Where there is
// none the error is a *NoPoolError.
func (c *Client) FindPool(ctx context.Context, ref PoolRef) (Pool, error) {
	if ref.ID == 0 {
		op := fmt.Sprintf("find agent pool %q", ref.Name)
		var list struct{ Value []Pool }
		err := c.get(ctx, op, "_apis/distributedtask/pools", url.Values{"poolName": {ref.Name}, "poolType": {"automation"}}, &list)
		if err != nil {
			return Pool{}, err
		}
		for _, p := range list.Value {
			if strings.EqualFold(p.Name, ref.Name) && p.ID != 0 {
				return p, nil
			}
		}
		return Pool{}, c.noPoolError(ctx, op)
	}
	op := fmt.Sprintf("find agent pool %d", ref.ID)
	var p Pool
	err := c.get(ctx, op, poolPath(ref.ID), nil, &p)
	if Is(err, PoolNotFound) {
		return Pool{}, c.noPoolError(ctx, op)
	}
	if err == nil && p.ID != ref.ID {
		return Pool{}, invalid(op, "it is of another pool, or of none")
	}
	return p, err
}

// noPoolError looks at which pools there are instead, for the person who has to find
// out why.
func (c *Client) noPoolError(ctx context.Context, op string) error {
	pools, err := c.Pools(ctx)
	e := &NoPoolError{Op: op, Known: err == nil}
	for _, p := range pools {
		e.Sees = append(e.Sees, p.Name)
	}
	return e
}

// AddAgent registers an agent and returns it with its Authorization. An answer
// that cannot be read leaves open whether it did: its error is one of a request
// that was sent and not answered.
func (c *Client) AddAgent(ctx context.Context, pool int, a Agent) (Agent, error) {
	var added Agent
	op := fmt.Sprintf("add agent %q to pool %d", a.Name, pool)
	err := c.do(ctx, request{
		op: op, method: http.MethodPost,
		path: agentPath(pool), body: a, into: &added,
	})
	if err == nil && added.ID == 0 {
		// Something was made, or not, of which nothing is known: as if unanswered.
		err = invalid(op, "it names no agent")
	}
	return added, err
}

// AgentByName looks an agent up with its capabilities. There being none is no
// error: found is false.
func (c *Client) AgentByName(ctx context.Context, pool int, name string) (a Agent, found bool, err error) {
	var list struct{ Value []Agent }
	err = c.get(ctx, fmt.Sprintf("look up agent %q in pool %d", name, pool), agentPath(pool), url.Values{"agentName": {name}, "includeCapabilities": {"true"}}, &list)
	if err != nil {
		return Agent{}, false, err
	}
	for _, a := range list.Value {
		if strings.EqualFold(a.Name, name) && a.ID != 0 {
			return a, true, nil
		}
	}
	return Agent{}, false, nil
}

// Include is what an answer holds besides the agents themselves.
type Include struct {
	Capabilities         bool // most of the answer: each variable of each machine
	AssignedRequest      bool
	LastCompletedRequest bool
}

func (i Include) query() url.Values {
	query := url.Values{}
	for name, on := range map[string]bool{
		"includeCapabilities": i.Capabilities, "includeAssignedRequest": i.AssignedRequest,
		"includeLastCompletedRequest": i.LastCompletedRequest,
	} {
		if on {
			query.Set(name, "true")
		}
	}
	return query
}

// Agents lists a pool whole, with capabilities and assigned requests: the server
// has no pages here (azure-devops-rest.md 2.1).
func (c *Client) Agents(ctx context.Context, pool int) ([]Agent, error) {
	var all []Agent
	err := c.EachAgent(ctx, pool, Include{Capabilities: true, AssignedRequest: true}, func(a Agent) { all = append(all, a) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// EachAgent lists a pool whole and calls each with one agent after the other while
// the answer comes in: of a large pool it is some tens of megabytes, which need
// not be held. With an error, each was called for some of the agents or none, and
// what it was told is no list of the pool.
func (c *Client) EachAgent(ctx context.Context, pool int, with Include, each func(Agent)) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("list the agents of pool %d", pool), method: http.MethodGet, path: agentPath(pool), query: with.query(),
		items: decodeEach(each),
	})
}

// ReplaceAgent overwrites an agent by its id, capabilities included: what is not
// in a is gone. It is not for an agent that runs, whose key and session it would
// leave in doubt (agent-protocol.md 2.5).
func (c *Client) ReplaceAgent(ctx context.Context, pool int, a Agent) (Agent, error) {
	var replaced Agent
	err := c.do(ctx, request{
		op: fmt.Sprintf("replace agent %d in pool %d", a.ID, pool), method: http.MethodPut,
		path: agentPath(pool, a.ID), body: a, into: &replaced,
	})
	return replaced, err
}

// AgentByID returns an agent. An answer about another agent is an error, not the lack of
// a request.
func (c *Client) AgentByID(ctx context.Context, pool, id int, with Include) (Agent, error) {
	var a Agent
	op := fmt.Sprintf("look at agent %d in pool %d", id, pool)
	err := c.get(ctx, op, agentPath(pool, id), with.query(), &a)
	if err == nil && a.ID != id {
		err = invalid(op, "it is of another agent, or of none")
	}
	return a, err
}

// SetUserCapabilities replaces an agent's user capabilities
// (azure-devops-rest.md 2.2).
func (c *Client) SetUserCapabilities(ctx context.Context, pool, id int, capabilities map[string]string) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("set the user capabilities of agent %d in pool %d", id, pool), method: http.MethodPut,
		path: agentPath(pool, id) + "/usercapabilities", body: capabilities,
		query: inPreview,
	})
}

// SetEnabled lets the server assign jobs to an agent, or keeps it from that. It says the id
// in the body too (azure-devops-rest.md 2.2).
func (c *Client) SetEnabled(ctx context.Context, pool, id int, enabled bool) error {
	op := "disable"
	if enabled {
		op = "enable"
	}
	return c.do(ctx, request{
		op: fmt.Sprintf("%s agent %d in pool %d", op, id, pool), method: http.MethodPatch,
		path: agentPath(pool, id), body: Agent{ID: id, Enabled: &enabled},
	})
}

// RemoveAgent deletes an agent. While it runs a job the server answers 400,
// TaskAgentJobStillRunningException; an agent that is gone is a 404.
func (c *Client) RemoveAgent(ctx context.Context, pool, id int) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("remove agent %d from pool %d", id, pool), method: http.MethodDelete,
		path: agentPath(pool, id),
	})
}

// poolPath is the path of a pool.
func poolPath(pool int) string {
	return "_apis/distributedtask/pools/" + strconv.Itoa(pool)
}

// agentPath is the path of an agent; without an id, of all agents of the pool.
func agentPath(pool int, id ...int) string {
	path := poolPath(pool) + "/agents"
	for _, i := range id {
		path += "/" + strconv.Itoa(i)
	}
	return path
}
