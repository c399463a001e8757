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
	// AutoUpdate says that the server asks the pool's agents to update themselves.
	AutoUpdate bool `json:"autoUpdate"`
}

// ClosedReason is why only Azure DevOps can add agents to a pool; "" if others can
// (agent-protocol.md 10.3).
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

// Online says whether the agent has a session.
func (a Agent) Online() bool { return strings.EqualFold(a.Status, "online") }

// Since is when the agent's status last changed, for a message: as RFC 3339, or "an unknown
// time".
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

// Authorization is how the agent's listener logs on: with its key, as ClientID, at
// AuthorizationURL. The server returns it in the answer to the POST.
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

// Properties are the server's typed values: {"Name":{"$type":…,"$value":…}}. Some values
// are plain (agent-protocol.md 2.3).
type Properties map[string]json.RawMessage

// Text returns a property that is a string; "" if there is none.
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

// Time is a time in the server's format: ISO 8601 with up to seven digits of a second. An
// unset time is 0001-01-01T00:00:00 without a zone (azure-devops-rest.md 0).
type Time struct{ time.Time }

// UnmarshalJSON also accepts times without a zone. An invalid time becomes the zero time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		return nil //nolint:nilerr // null or an invalid value: the time is not known
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

// PoolNotFound is the server's error for a pool that does not exist, or that the caller may
// not view (azure-devops-rest.md 2.1).
const PoolNotFound = "TaskAgentPoolNotFoundException"

// FindPool finds a pool; by its name only a pool for agents (not a deployment pool). If
// there is none, the error is a *NoPoolError.
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

// noPoolError lists the pools that the identity can see, because they help to find the
// cause.
func (c *Client) noPoolError(ctx context.Context, op string) error {
	pools, err := c.Pools(ctx)
	e := &NoPoolError{Op: op, Known: err == nil}
	for _, p := range pools {
		e.Sees = append(e.Sees, p.Name)
	}
	return e
}

// AddAgent registers an agent and returns it with its Authorization. If the answer cannot be
// read, the agent may have been added: the error is that of a request whose answer was lost.
func (c *Client) AddAgent(ctx context.Context, pool int, a Agent) (Agent, error) {
	var added Agent
	op := fmt.Sprintf("add agent %q to pool %d", a.Name, pool)
	err := c.do(ctx, request{
		op: op, method: http.MethodPost,
		path: agentPath(pool), body: a, into: &added,
	})
	if err == nil && added.ID == 0 {
		// The agent may have been added: treat it like a lost answer.
		err = invalid(op, "it names no agent")
	}
	return added, err
}

// AgentByName returns the agent with this name and its capabilities. If there is none, found
// is false.
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

// Include says which details of agents an answer contains.
type Include struct {
	Capabilities         bool // large: all variables of each machine
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

// Agents lists all agents of a pool, with capabilities and assigned requests. The server has
// no pages here (azure-devops-rest.md 2.1).
func (c *Client) Agents(ctx context.Context, pool int) ([]Agent, error) {
	var all []Agent
	err := c.EachAgent(ctx, pool, Include{Capabilities: true, AssignedRequest: true}, func(a Agent) { all = append(all, a) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// EachAgent lists all agents of a pool, and calls each for every agent while it reads the
// answer, which has tens of megabytes for a large pool. If it returns an error, each was
// called for some of the agents only.
func (c *Client) EachAgent(ctx context.Context, pool int, with Include, each func(Agent)) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("list the agents of pool %d", pool), method: http.MethodGet, path: agentPath(pool), query: with.query(),
		items: decodeEach(each),
	})
}

// ReplaceAgent overwrites an agent by its id, including its capabilities: what is not in a
// is deleted. Do not use it for an agent that runs: what happens to its key and session is
// not known (agent-protocol.md 2.5).
func (c *Client) ReplaceAgent(ctx context.Context, pool int, a Agent) (Agent, error) {
	var replaced Agent
	err := c.do(ctx, request{
		op: fmt.Sprintf("replace agent %d in pool %d", a.ID, pool), method: http.MethodPut,
		path: agentPath(pool, a.ID), body: a, into: &replaced,
	})
	return replaced, err
}

// AgentByID returns an agent. An answer about another agent is an error.
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

// SetEnabled lets the server assign jobs to an agent, or keeps it from that. It sends the id
// also in the body, as the server requires (azure-devops-rest.md 2.2).
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

// RemoveAgent deletes an agent. If the agent runs a job, the server answers 400,
// TaskAgentJobStillRunningException. If it does not exist, the server answers 404.
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
