package fakeagent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// jobMessage has the fields of a PipelineAgentJobRequest (7.4) that are needed.
type jobMessage struct {
	JobID          string `json:"jobId"`
	JobDisplayName string `json:"jobDisplayName"`
	JobName        string `json:"jobName"`
	RequestID      int64  `json:"requestId"`
	Plan           struct {
		ScopeIdentifier string `json:"scopeIdentifier"`
		PlanID          string `json:"planId"`
		PlanType        string `json:"planType"`
		Version         int    `json:"version"`
	} `json:"plan"`
	Timeline struct {
		ID string `json:"id"`
	} `json:"timeline"`
	Resources struct {
		Endpoints []endpoint `json:"endpoints"`
	} `json:"resources"`
	Variables map[string]variable `json:"variables"`
	Steps     []step              `json:"steps"`
}

type endpoint struct {
	Name          string `json:"name"`
	URL           string `json:"url"`
	Authorization struct {
		Scheme     string            `json:"scheme"`
		Parameters map[string]string `json:"parameters"`
	} `json:"authorization"`
}

type variable struct {
	Value    scalar `json:"value"`
	IsSecret bool   `json:"isSecret"`
}

// step is a step. Enabled is a pointer, because an absent value means true.
type step struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	DisplayName     string            `json:"displayName"`
	Enabled         *bool             `json:"enabled"`
	Condition       string            `json:"condition"`
	ContinueOnError bool              `json:"continueOnError"`
	Inputs          map[string]scalar `json:"inputs"`
	Environment     map[string]scalar `json:"environment"`
}

// lookUp finds a name and ignores case, as the agent's dictionaries do.
func lookUp[V any](in map[string]V, name string) (value V, found bool) {
	for n, v := range in {
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return value, false
}

// scalar is a string that may be another scalar in JSON.
type scalar string

func (t *scalar) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil { // null too
		*t = scalar(s)
		return nil
	}
	*t = scalar(b)
	return nil
}

// parseJobMessage parses a decrypted job message.
func parseJobMessage(body []byte) (jobMessage, error) {
	var m jobMessage
	if err := json.Unmarshal(withoutBOM(body), &m); err != nil {
		return m, fmt.Errorf("cannot read the job message: %w", err)
	}
	switch {
	case m.JobID == "":
		return m, errors.New("cannot use the job message: it has no jobId")
	case m.RequestID <= 0:
		return m, errors.New("cannot use the job message: it has no requestId")
	}
	m.JobDisplayName = cmp.Or(m.JobDisplayName, m.JobName)
	return m, nil
}

// connection is the address and the token for reporting to the plan: the endpoint
// SystemVssConnection and the job's token (7.4).
func (m jobMessage) connection() (url, token string, err error) {
	for _, e := range m.Resources.Endpoints {
		if !strings.EqualFold(e.Name, "SystemVssConnection") {
			continue
		}
		if token, _ = lookUp(e.Authorization.Parameters, "AccessToken"); e.URL == "" || token == "" {
			break
		}
		return e.URL, token, nil
	}
	return "", "", errors.New("cannot use the job message: no endpoint SystemVssConnection with a token")
}

// reportsItself says whether the worker's event completes the job, as from plan version 8 on.
// Before that, the listener's request does (7.4).
func (m jobMessage) reportsItself() bool {
	return m.Plan.Version >= 8
}

// expand replaces $(name) by the variable's value, also of a secret, as the agent does for a
// task's inputs.
func (m jobMessage) expand(s string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$(")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, ")")
		value, known := lookUp(m.Variables, name)
		if closed && known {
			out.WriteString(string(value.Value))
			s = after
			continue
		}
		out.WriteString("$(") // of the shell
		s = rest
	}
}

// secretMask masks the values of secret variables in output.
func (m jobMessage) secretMask() *strings.Replacer {
	var pairs []string
	for _, v := range m.Variables {
		if v.IsSecret && strings.TrimSpace(string(v.Value)) != "" {
			pairs = append(pairs, string(v.Value), "***")
		}
	}
	if _, token, err := m.connection(); err == nil {
		pairs = append(pairs, token, "***")
	}
	return strings.NewReplacer(pairs...)
}

func sameGUID(a, b string) bool {
	return strings.EqualFold(strings.Trim(a, "{}"), strings.Trim(b, "{}"))
}
