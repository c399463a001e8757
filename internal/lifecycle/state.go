package lifecycle

import "time"

// Phase is where the agent is between start and end.
type Phase string

// The phases, in their usual order.
const (
	Booting     Phase = "booting"     // token, key, agent directory and pool are prepared
	Registering Phase = "registering" // the server is asked to add the agent
	Starting    Phase = "starting"    // the listener is started, or started again
	Idle        Phase = "idle"        // listening, no job
	Busy        Phase = "busy"        // a job runs, or may run
	Draining    Phase = "draining"    // no further job is accepted; the running one is finished
	Removing    Phase = "removing"    // the server is asked to remove the agent
	Stopping    Phase = "stopping"    // the listener was told to exit
	Gone        Phase = "gone"        // nothing is left to do
)

// Registration is what the server knows of this agent.
type Registration string

// The registration's states. From Pending on, a run ends only as Removed or
// Abandoned. An External registration stays what it is.
const (
	Unregistered Registration = "unregistered" // the server has no agent of this run
	Pending      Registration = "pending"      // the POST is under way, or its answer was lost
	Registered   Registration = "registered"   // the server has the agent, and AgentID is its id
	Removed      Registration = "removed"      // the server no longer has the agent
	Abandoned    Registration = "abandoned"    // it could not be removed, and was reported
	External     Registration = "external"     // another azptend registered it and removes it
)

// ListenerState is what is known of the listener's process.
type ListenerState string

// The states of the listener's process.
const (
	Absent      ListenerState = "absent"      // not started, or reaped
	Running     ListenerState = "running"     // started, and not told to exit
	Interrupted ListenerState = "interrupted" // told to exit by SIGINT
	Killed      ListenerState = "killed"      // SIGKILL was sent to it and to everything below it
	Updating    ListenerState = "updating"    // exited for an update, which a script finishes
)

// JobState is what the listener's notification socket last reported.
type JobState string

// The states of a job.
const (
	NoJob      JobState = "none"
	RunningJob JobState = "running"
	UnknownJob JobState = "unknown" // the socket was lost: treated as running
)

// disableState is whether the server may still assign jobs to the agent.
type disableState string

const (
	notDisabled    disableState = "not disabled"
	disabled       disableState = "disabled"
	disableRefused disableState = "refused" // azptend goes on without
)

// Policy is everything that the settings decide about a run.
type Policy struct {
	Once         bool          // exit after one job
	Grace        time.Duration // from SIGTERM to the platform's SIGKILL
	NameWait     time.Duration // how long to wait for another agent to give up the name or the directory
	StrictRemove bool          // a run whose agent could not be removed ends as NotRemoved
	CancelOnTerm bool          // SIGTERM cancels a running job
	RegisterOnly bool          // register the agent for another azptend, which runs and removes it
	JitterSeed   uint64        // differs between agents, so that they do not retry in step; 0: no jitter
	Limits       Limits
}

// Limits are when an agent exits by itself. Each ends in a drain without a
// deadline: the server is told to assign no further job, a job that slipped in is
// finished, and only then is the agent removed. Zero is no limit.
type Limits struct {
	Idle     time.Duration // no job for this long
	Lifetime time.Duration // since the start
	Jobs     int           // jobs received
}

// State is everything that Step knows. Its zero value is no valid state: use New.
type State struct {
	Phase        Phase
	Registration Registration
	Listener     ListenerState
	Job          JobState
	AgentID      int    // the server's id once Registered, and after
	Jobs         int    // jobs that the listener received in this run
	Reason       string // why the agent drains; empty while nothing asked for that
	Interrupts   int    // how many SIGINT counted so far
	Budget       Budget // how the grace period is spent, or would be if it began now

	policy    Policy
	startedAt time.Time
	end       End // so far

	registration registrationState
	session      sessionState
	drain        drainState
	call         callState
}

// registrationState is what is known of the agent on the server.
type registrationState struct {
	previousID   int       // while Booting: the agent that a killed run left, according to its files
	conflictID   int       // the agent that RemoveConflicting is about
	waitingSince time.Time // since when another agent's name or directory is waited for

	answerLostAt time.Time // when the answer to Register was lost or unclear; zero: it was neither
	nameTaken    bool      // the last answer to Register was NameTaken
	finalResult  *Result   // how registering failed; reported if a look-up shows that no agent was added

	disable        disableState
	notShown       int       // inspections in a row that did not show the agent
	logonRefusedAt time.Time // since when the server refuses the listener's logon
	notFoundOnce   bool      // the last answer to a change of the agent was NotFound
	removeRefused  bool      // a removal was refused for a reason that does not pass
	abandonErr     error     // why the agent was abandoned

	reregister     bool        // after the removal, register again instead of finishing
	reregisteredAt []time.Time // when that was done, within the last hour
}

// sessionState is what is known of one listener's session and of its jobs.
type sessionState struct {
	launchedAt    time.Time // when the listener was started
	readyAt       time.Time // when its session existed; zero: not yet
	adopted       bool      // a previous run started this listener, and its jobs are that run's
	conflict      bool      // it met the session of an earlier listener
	conflictSince time.Time // since when that is in the way
	restarts      int       // restarts since a listener last stayed ready for long
	lastExit      Exit      // how it last exited, while the cause is looked into

	noJobSince      time.Time // since when the listener has no job
	endedAfterDrain bool      // its last job ended after a drain was asked for
	jobAssigned     bool      // the server last showed an assigned job

	worker     WorkerState // what the process table last showed
	scanned    WorkerState // the same, if only that it could not be seen
	scannedAt  time.Time   // when that began; zero: there was none since the last job ended
	scanSince  time.Time   // since when a scan is under way; zero: none is
	nextScanAt time.Time   // zero: none is planned
}

// drainState is the end that was asked for.
type drainState struct {
	graceStartedAt time.Time     // when the grace period began; zero: there is no deadline
	grace          time.Duration // its length
	interruptedAt  time.Time     // when the last SIGINT came; one within a second of it is the same
	cancelJob      bool          // a running job is cancelled, because of Policy.CancelOnTerm
	idleSince      time.Time     // since when server and process table agree that no job runs
	killAt         time.Time     // while Stopping: when SIGKILL follows, or when waiting for its effect ends
	exitAt         time.Time     // when azptend exits, once the last scan has begun

	cutSince       time.Time // since when the job is due to be cut; zero: it is not
	cutScanned     bool      // a scan that began since then has come in
	scanTooOld     bool      // the scan that is under way began before then
	interruptCause End       // why azptend interrupted the listener, if that cut a job
	mayBeCut       bool      // a job may have run then

	stopSince  time.Time // since when the listener is to be stopped, once a scan shows no worker
	stopScans  int       // how many scans were waited for
	stopScanBy time.Time // until when the scan that is under way is waited for
}

// callState is the call in flight and the next one.
type callState struct {
	inFlight   Call      // NoCall when there is none
	startedAt  time.Time // when the last call began
	abortAt    time.Time // when it is aborted, because the grace period has begun
	next       Call      // begins at nextAt, once no call is in flight
	nextAt     time.Time
	failures   int       // in a row, of the call that next repeats
	retryUntil time.Time // when repeating it stops; zero: never
	giveUpAt   time.Time // when the phase is given up, where no grace period rules
}

// New is the state of an agent that has done nothing yet.
func New(p Policy) State {
	return State{
		Phase:        Booting,
		Registration: Unregistered,
		Listener:     Absent,
		Job:          NoJob,
		policy:       p,
		Budget:       SplitGrace(p.Grace),
		registration: registrationState{disable: notDisabled},
		drain:        drainState{grace: p.Grace},
	}
}

// Deadline is when the platform is expected to kill azptend; zero while the grace
// period has not begun.
func (s State) Deadline() time.Time { return s.sinceGraceStart(s.drain.grace) }

// RegistrationEnded says that a step ended a registration. One that is followed by
// another at once is Unregistered already.
func RegistrationEnded(before, after State) bool {
	ended := after.Registration == Removed || after.Registration == Unregistered || after.AgentID != before.AgentID
	return before.Registration == Registered && ended
}
