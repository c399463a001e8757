package emulator

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
)

// agentJSON is a TaskAgent on the wire (azure-devops-rest.md 2.2). What a caller must ask for is absent otherwise.
type agentJSON struct {
	Links             map[string]href            `json:"_links,omitempty"`
	MaxParallelism    int                        `json:"maxParallelism,omitempty"`
	CreatedOn         *timestamp                 `json:"createdOn,omitempty"`
	StatusChangedOn   *timestamp                 `json:"statusChangedOn,omitempty"`
	Authorization     *authorizationJSON         `json:"authorization,omitempty"`
	ID                int                        `json:"id"`
	Name              string                     `json:"name"`
	Version           string                     `json:"version"`
	OSDescription     string                     `json:"osDescription,omitempty"`
	Enabled           *bool                      `json:"enabled,omitempty"` // a pointer for what comes in: absent is not false
	Status            enumValue                  `json:"status,omitempty"`
	ProvisioningState string                     `json:"provisioningState,omitempty"`
	AccessPoint       string                     `json:"accessPoint,omitempty"`
	Properties        map[string]json.RawMessage `json:"properties,omitempty"`
	PendingUpdate     *pendingUpdateJSON         `json:"pendingUpdate,omitempty"`
	AssignedRequest   *jobRequestJSON            `json:"assignedRequest,omitempty"`
	LastCompleted     *jobRequestJSON            `json:"lastCompletedRequest,omitempty"`
	System            map[string]string          `json:"systemCapabilities,omitempty"`
	User              map[string]string          `json:"userCapabilities,omitempty"`
}

type href struct {
	Href string `json:"href"`
}

type publicKeyJSON struct {
	Exponent string `json:"exponent"`
	Modulus  string `json:"modulus"`
}

type authorizationJSON struct {
	ClientID         string         `json:"clientId,omitempty"`
	AuthorizationURL string         `json:"authorizationUrl,omitempty"`
	PublicKey        *publicKeyJSON `json:"publicKey,omitempty"`
}

type pendingUpdateJSON struct {
	SourceVersion versionJSON    `json:"sourceVersion"`
	TargetVersion versionJSON    `json:"targetVersion"`
	RequestTime   *timestamp     `json:"requestTime"`
	CurrentState  string         `json:"currentState"`
	Reason        map[string]any `json:"reason"`
}

// reference is the short form in which a job request shows an agent.
func (e *Emulator) agentReference(base string, a *agent) agentJSON {
	org := e.hostURL(base, "")
	enabled := a.enabled
	return agentJSON{
		Links: map[string]href{
			"self": {fmt.Sprintf("%s_apis/distributedtask/pools/%d/agents/%d", org, a.pool.id, a.id)},
			"web":  {fmt.Sprintf("%s_settings/agentpools?view=jobs&poolId=%d&agentId=%d", org, a.pool.id, a.id)},
		},
		ID: a.id, Name: a.name, Version: a.version, OSDescription: a.osDescription, Enabled: &enabled,
		Status: enumValue(a.status()), ProvisioningState: a.provisioning, AccessPoint: "CodexAccessMapping",
	}
}

// include says which of the parts that must be asked for go into an answer.
type include struct{ capabilities, assigned, last, authorization bool }

func (e *Emulator) agentJSON(base string, a *agent, inc include) agentJSON {
	out := e.agentReference(base, a)
	out.MaxParallelism = a.maxParallelism
	out.CreatedOn, out.StatusChangedOn = timestampOf(a.createdOn), timestampOf(a.statusChangedOn)
	if inc.capabilities {
		out.System, out.User = a.system, a.user
	}
	if inc.assigned && a.job != nil {
		r := e.jobRequestJSON(base, a.job, false)
		out.AssignedRequest = &r
	}
	if inc.last && a.last != nil {
		r := e.jobRequestJSON(base, a.last, false)
		out.LastCompleted = &r
	}
	if a.update != nil {
		out.PendingUpdate = &pendingUpdateJSON{
			SourceVersion: splitVersion(a.update.source), TargetVersion: splitVersion(a.update.target),
			RequestTime: timestampOf(a.update.requestTime), CurrentState: a.update.state, Reason: map[string]any{"code": "manual"},
		}
	}
	if inc.authorization && a.key != nil {
		key := a.publicKey
		out.Authorization = &authorizationJSON{a.clientID, a.authURL, &key}
	}
	if inc.authorization { // POST and PUT also say where the organisation is (agent-protocol.md 2.3, 2.4)
		out.Properties = maps.Clone(a.properties)
		if out.Properties == nil {
			out.Properties = map[string]json.RawMessage{}
		}
		out.Properties["ServerUrl"], _ = json.Marshal(typedValue{"System.String", e.hostURL(base, "")})
	}
	return out
}

// parsePublicKey reads the two base64 numbers of agent-protocol.md 2.2.
func parsePublicKey(in publicKeyJSON) (*rsa.PublicKey, error) {
	modulus, err := base64.StdEncoding.DecodeString(in.Modulus)
	if err != nil {
		return nil, errBadRequest("The agent's public key has a modulus that is not base64.")
	}
	exponent, err := base64.StdEncoding.DecodeString(in.Exponent)
	if err != nil || len(exponent) == 0 || len(exponent) > 4 {
		return nil, errBadRequest("The agent's public key has an exponent that is not a small base64 number.")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
	if bits := key.N.BitLen(); bits < 2048 || bits > 16384 || key.E < 3 || key.E%2 == 0 || key.N.Bit(0) == 0 || key.E > 1<<31-1 {
		return nil, errBadRequest("The agent's public key is no RSA key of 2048 bits or more.")
	}
	return key, nil
}
