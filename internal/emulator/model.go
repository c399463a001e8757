package emulator

import (
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The store: pools hold agents, an agent has at most one session, one inbox and one unfinished job.

type pool struct {
	id            int
	name          string
	kind          string // automation or deployment
	hosted        bool   // Microsoft adds its agents
	elastic       bool   // a scale set does
	autoProvision bool
	autoUpdate    bool
	createdOn     time.Time
	agents        []*agent
}

type agent struct {
	id              int
	pool            *pool
	name            string
	version         string
	osDescription   string
	enabled         bool
	disabledOn      time.Time
	maxParallelism  int
	provisioning    string
	createdOn       time.Time
	statusChangedOn time.Time
	clientID        string
	authURL         string // where its token endpoint is, and the audience of its assertions
	key             *rsa.PublicKey
	publicKey       publicKeyJSON
	system          map[string]string
	user            map[string]string
	properties      map[string]json.RawMessage
	session         *session
	inbox           []*message
	job             *job // the unfinished one
	last            *job // the one that finished last
	shuttingDown    bool // its listener said it takes no more jobs (agent-protocol.md 5.4)
	update          *pendingUpdate
	removed         bool
}

func (a *agent) status() string {
	if a.session != nil {
		return "online"
	}
	return "offline"
}

type session struct {
	id       string
	agent    *agent
	owner    string
	key      []byte
	created  time.Time
	lastSeen time.Time
	polls    int // under way now
}

type message struct {
	id   int64
	kind string
	// body is made when the message is handed out, because the URLs in it follow the host the listener talks to.
	body func(base string) (any, error)
	job  *job // of a job request
}

type pendingUpdate struct {
	target      string
	source      string
	requestTime time.Time
}

type job struct {
	requestID   int64
	jobID       string
	planID      string
	timelineID  string
	stepID      string
	scopeID     string
	spec        JobSpec
	pool        *pool
	agent       *agent
	matched     []*agent
	queueTime   time.Time
	assignTime  time.Time
	receiveTime time.Time
	startTime   time.Time // first renewal of the lock
	finishTime  time.Time
	lockedUntil time.Time
	result      string
	canceled    bool

	lines    []string
	records  []*record
	changeID int
	logs     []*logFile
}

// state is where the job stands, in the words of the control API.
func (j *job) state() string {
	switch {
	case j.result != "":
		return JobCompleted
	case !j.startTime.IsZero():
		return JobRunning
	case !j.receiveTime.IsZero():
		return JobReceived
	case !j.assignTime.IsZero():
		return JobAssigned
	}
	return JobQueued
}

func (e *Emulator) poolNamed(name string) *pool {
	for _, p := range e.pools {
		if strings.EqualFold(p.name, name) {
			return p
		}
	}
	return nil
}

// sortedPools is every pool in order of id.
func (e *Emulator) sortedPools() []*pool {
	out := make([]*pool, 0, len(e.pools))
	for _, p := range e.pools {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *pool) int { return a.id - b.id })
	return out
}

func (p *pool) agent(id int) *agent {
	for _, a := range p.agents {
		if a.id == id {
			return a
		}
	}
	return nil
}

func (p *pool) agentNamed(name string) *agent {
	for _, a := range p.agents {
		if strings.EqualFold(a.name, name) {
			return a
		}
	}
	return nil
}
