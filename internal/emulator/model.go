package emulator

import (
	"crypto/cipher"
	"crypto/rsa"
	"encoding/json"
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
	createdBy     string // object id of a user
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
	return choose(a.session != nil, "online", "offline")
}

type session struct {
	id       string
	agent    *agent
	owner    string
	cipher   cipher.Block // of its messages
	created  time.Time
	lastSeen time.Time
	polls    int // under way now
}

type message struct {
	id   int64
	kind string
	body obj  // nil for a job, see deliver
	job  *job // that the message is about
}

type pendingUpdate struct {
	target      string
	source      string
	requestTime time.Time
	state       string // what the listener says about its progress
}

type job struct {
	requestID   int64
	jobID       string
	planID      string
	timelineID  string
	stepID      string
	project     *project
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
	records  []record
	changeID int
	logs     []*logFile
}

// state is the job's state, as the control API names it.
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

func (e *Emulator) pool(id int) *pool {
	return first(e.pools, func(p *pool) bool { return p.id == id })
}

func (e *Emulator) poolNamed(name string) *pool {
	return first(e.pools, func(p *pool) bool { return strings.EqualFold(p.name, name) })
}

func (p *pool) agent(id int) *agent {
	return first(p.agents, func(a *agent) bool { return a.id == id })
}

func (p *pool) agentNamed(name string) *agent {
	return first(p.agents, func(a *agent) bool { return strings.EqualFold(a.name, name) })
}
