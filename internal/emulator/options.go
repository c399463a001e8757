package emulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// Options says what to emulate. The zero value is an organisation "emulated" with a pool "Default", at real speed.
type Options struct {
	// Org is the organisation's name, the first segment of its path. Default "emulated".
	Org string
	// Pools are the names of the pools that exist at the start; ids count from 1. Default: one, "Default".
	Pools []string
	// Projects are the names of the projects that exist at the start. Default: one, "Project".
	Projects []string
	// Hosts are names by which clients call what Serve serves, besides addresses and localhost.
	Hosts []string
	// TimeScale (1 or more; 0 means 1) divides the protocol's slow times: the 50 s long poll, the 5 min life of a
	// session that is not polled, the 5 and 10 min locks of a job. Token lives are not divided: use Advance for those.
	TimeScale float64
	// RateLimit is how much an identity may ask; default without a limit.
	RateLimit RateLimit
	// Machine is the machine's name in the metadata service; default "emulated-vm". "set_0" is of the scale set "set".
	Machine string
	// Now is the clock; default time.Now. Advance adds to what it says.
	Now func() time.Time
	// Log gets one debug line a call; default none.
	Log *slog.Logger
	// Assumptions reverses what nobody could verify about the real server; the zero value is what the references expect.
	Assumptions Assumptions

	// AgentPackage is the agent that clients can download. Without one, the list names packages of Microsoft's host.
	AgentPackage *AgentPackage

	// KeyOf is another emulator whose signing key is used. Making a key takes a tenth of a second.
	KeyOf *Emulator
}

// Assumptions are the named switches for what nobody could verify about the real server (agent-protocol.md 11,
// azure-devops-rest.md "Unverified"). False is always what the references expect; true is the other possibility.
type Assumptions struct {
	// PlainVersionOnPreview accepts "7.1" without -preview on preview-only resources. The references disagree about
	// sessions, messages and job requests: agent-protocol.md 2.1 saw 7.0 work, azure-devops-rest.md 0 says 400.
	PlainVersionOnPreview bool `json:"plainVersionOnPreview,omitempty"`
	// ReplaceKeepsUserCapabilities: a PUT without userCapabilities leaves the stored ones alone (agent-protocol.md 2.5).
	ReplaceKeepsUserCapabilities bool `json:"replaceKeepsUserCapabilities,omitempty"`
	// ReplaceEnables: a PUT without enabled enables the agent (agent-protocol.md 2.5).
	ReplaceEnables bool `json:"replaceEnables,omitempty"`
	// ReplaceEndsSession: a PUT ends the current session (agent-protocol.md 2.5).
	ReplaceEndsSession bool `json:"replaceEndsSession,omitempty"`
	// GetShowsAuthorization: GET returns an agent's authorization too, not only POST and PUT (agent-protocol.md 2.3).
	GetShowsAuthorization bool `json:"getShowsAuthorization,omitempty"`
	// CreateIgnoresEnabled: POST with enabled false makes an enabled agent (agent-protocol.md 2.2).
	CreateIgnoresEnabled bool `json:"createIgnoresEnabled,omitempty"`
	// CreateDropsUserCapabilities: POST ignores userCapabilities, which the agent itself never sends (agent-protocol.md 2.2).
	CreateDropsUserCapabilities bool `json:"createDropsUserCapabilities,omitempty"`
	// DeleteMissingSucceeds: DELETE of a missing agent answers 204 and not 404 (agent-protocol.md 6).
	DeleteMissingSucceeds bool `json:"deleteMissingSucceeds,omitempty"`
	// DeleteAnswers200: DELETE of an agent answers 200 and not 204 (azure-devops-rest.md 2.2).
	DeleteAnswers200 bool `json:"deleteAnswers200,omitempty"`
	// DeleteRunningSucceeds: DELETE removes an agent with a job, which is abandoned (azure-devops-rest.md "Unverified" d).
	DeleteRunningSucceeds bool `json:"deleteRunningSucceeds,omitempty"`
	// RemovedAgentUnauthorized: the calls of an agent that was removed get 401 and not 404 (agent-protocol.md 6).
	RemovedAgentUnauthorized bool `json:"removedAgentUnauthorized,omitempty"`
	// LongAssertions: client assertions may live longer than 300 s (agent-protocol.md 11).
	LongAssertions bool `json:"longAssertions,omitempty"`
	// ShuttingDownIgnored: agentShuttingDown in JobCompleted changes nothing; the agent may be given another job.
	ShuttingDownIgnored bool `json:"shuttingDownIgnored,omitempty"`
	// WrongTenantThrottled: a token of another tenant gets 429 and not 401 (azure-devops-rest.md 3).
	WrongTenantThrottled bool `json:"wrongTenantThrottled,omitempty"`
	// OwnRoleForbidden: a change of one's own role answers 403 and not 400 (azure-devops-rest.md "Unverified" e).
	OwnRoleForbidden bool `json:"ownRoleForbidden,omitempty"`
	// DisabledHidesAssigned: a job assigned just before its agent was disabled is not delivered until it is enabled.
	DisabledHidesAssigned bool `json:"disabledHidesAssigned,omitempty"`
	// DisableActsLate: a disabled agent gets jobs for another minute.
	DisableActsLate bool `json:"disableActsLate,omitempty"`
	// PatchWithoutID: PATCH needs no id in its body (agent-protocol.md 2.5).
	PatchWithoutID bool `json:"patchWithoutID,omitempty"`
	// PatchRefusesID: PATCH with an id in its body is refused with 400 (agent-protocol.md 2.5).
	PatchRefusesID bool `json:"patchRefusesID,omitempty"`
	// StaleReads: GET shows agents as they were a minute ago, also after the caller's own writes.
	StaleReads bool `json:"staleReads,omitempty"`
	// SessionOutlivesAgent: the session of a removed agent continues without an error (agent-protocol.md 6).
	SessionOutlivesAgent bool `json:"sessionOutlivesAgent,omitempty"`
	// SessionDropsUserCapabilities: a new session drops the user capabilities too (agent-protocol.md 2.2).
	SessionDropsUserCapabilities bool `json:"sessionDropsUserCapabilities,omitempty"`
	// NoUserCapabilities: PUT usercapabilities answers 404 (azure-devops-rest.md 2.2: the path is inferred).
	NoUserCapabilities bool `json:"noUserCapabilities,omitempty"`
	// MissingPoolForbidden: the id of a missing or hidden pool answers 403 and not 404 (azure-devops-rest.md 2.1).
	MissingPoolForbidden bool `json:"missingPoolForbidden,omitempty"`
	// NameTakenBadRequest: POST of a name that is taken is 400 and not 409 (azure-devops-rest.md 2.2).
	NameTakenBadRequest bool `json:"nameTakenBadRequest,omitempty"`
	// NamesLimited: the server refuses names longer than 64 characters (agent-protocol.md 10.4, 11).
	NamesLimited bool `json:"namesLimited,omitempty"`
	// JobRunningConflict: DELETE of an agent whose job runs is refused with 409 and not 400 (agent-protocol.md 11).
	JobRunningConflict bool `json:"jobRunningConflict,omitempty"`
	// LongSessions: a session nobody polls lives 15 minutes and not 5 (agent-protocol.md 5.1, 11).
	LongSessions bool `json:"longSessions,omitempty"`
	// LongLocks: a job's lock lasts 15 minutes and not 5 to 10 (agent-protocol.md 5.1).
	LongLocks bool `json:"longLocks,omitempty"`
	// ExpiredTokenSignIn: an expired token gets the sign-in page although the client suppresses it (azure-devops-rest.md "Unverified" a).
	ExpiredTokenSignIn bool `json:"expiredTokenSignIn,omitempty"`
	// UnlicensedSeesNothing: an identity without a licence sees no pool (azure-devops-rest.md "Unverified" b).
	UnlicensedSeesNothing bool `json:"unlicensedSeesNothing,omitempty"`
}

// AssumptionNames are the names of all switches, as the control API writes them.
func AssumptionNames() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Assumptions]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// AssumptionsNamed are the switches with these names on, and all others off.
func AssumptionsNamed(names ...string) (Assumptions, error) {
	on := map[string]bool{}
	for _, name := range names {
		on[name] = true
	}
	var a Assumptions
	b, err := json.Marshal(on)
	if err == nil {
		err = strictJSON(b, &a)
	}
	if err != nil {
		return Assumptions{}, fmt.Errorf("cannot set assumptions: %w", err)
	}
	return a, nil
}

// The protocol's slow times at TimeScale 1, and the lives of tokens, which are never scaled.
const (
	longPoll      = 50 * time.Second // agent-protocol.md 7.3
	sessionLife   = 5 * time.Minute  // since the last poll; agent-protocol.md 5.1, 11
	firstLock     = 5 * time.Minute  // from assignment; agent-protocol.md 5.1 says 5-10 min
	renewedLock   = 10 * time.Minute // from each renewal
	msiTokenLife  = 24 * time.Hour   // reference/identity.md 5
	msiTokenSpare = 5 * time.Minute  // the endpoint's cache hands a token out until this much is left
	agentLife     = 50 * time.Minute // of an agent's access token
	jobLife       = 48 * time.Hour   // of a job's access token
	assertionLife = 5 * time.Minute  // longest client assertion; agent-protocol.md 7.1
	clockSkew     = 5 * time.Minute  // agent-protocol.md 10, 11th surprise

	staleFor      = time.Minute      // the delay of what an assumption makes late
	longLife      = 15 * time.Minute // the duration of what an assumption makes long
	maxNameLength = 64               // characters of a name, with NamesLimited
)

// sessionLife is the lifetime of a session without a poll.
func (e *Emulator) sessionLife() time.Duration {
	return e.slow(choose(e.assumptions.LongSessions, longLife, sessionLife))
}

// lock is how long a job's lock lasts from now on.
func (e *Emulator) lock(d time.Duration) time.Duration {
	return e.slow(choose(e.assumptions.LongLocks, longLife, d))
}

func (o Options) withDefaults() (Options, error) {
	o.Org, o.Machine, o.TimeScale = cmp.Or(o.Org, "emulated"), cmp.Or(o.Machine, "emulated-vm"), cmp.Or(o.TimeScale, 1)
	if len(o.Pools) == 0 {
		o.Pools = []string{"Default"}
	}
	if len(o.Projects) == 0 {
		o.Projects = []string{"Project"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.RateLimit, err = o.RateLimit.withDefaults(); err != nil {
		return o, err
	}
	return o, o.validate()
}

func (o Options) validate() error {
	var problems []error
	if o.TimeScale < 1 {
		problems = append(problems, fmt.Errorf("time scale %g is below 1", o.TimeScale))
	}
	switch strings.ToLower(o.Org) {
	case "vssps", "vsaex", "msi", "metadata", "_emulator", "_packages", ".", "..":
		problems = append(problems, fmt.Errorf("organisation name %q is taken by the emulator itself", o.Org))
	}
	if url.PathEscape(o.Org) != o.Org {
		problems = append(problems, fmt.Errorf("organisation name %q is no path segment", o.Org))
	}
	seen := map[string]bool{}
	for _, name := range o.Pools {
		if name == "" || seen[strings.ToLower(name)] {
			problems = append(problems, fmt.Errorf("pool name %q is empty or given twice", name))
		}
		seen[strings.ToLower(name)] = true
	}
	for _, name := range o.Projects {
		if name == "" || strings.HasPrefix(name, "_") {
			problems = append(problems, fmt.Errorf("project name %q is no name", name))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("cannot emulate: %w", errors.Join(problems...))
	}
	return nil
}

// slow is a protocol time at this emulator's scale.
func (e *Emulator) slow(d time.Duration) time.Duration {
	return time.Duration(float64(d) / e.opts.TimeScale)
}
