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
	UnknownJob JobState = "unknown" // the socket was lost: a job may run
)

// disableState is whether the server may still assign jobs to the agent.
type disableState string

const (
	notDisabled    disableState = "not disabled"
	disabled       disableState = "disabled"
	disableRefused disableState = "refused" // azptend drains without it
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

// Limits say when an agent exits by itself. Each starts a drain without a deadline:
// the agent is disabled, a job that was assigned just before is finished, and then
// the agent is removed. Zero is no limit.
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
	Reason       string // why the agent drains; empty before a drain
	Interrupts   int    // the number of SIGINTs that count
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
	waitingSince time.Time // start of the wait for another agent that has the name or the directory

	answerLostAt time.Time // when the answer to Register was lost or unclear; zero: it was neither
	nameTaken    bool      // the last answer to Register was NameTaken
	finalResult  *Result   // how registering failed; reported if a look-up shows that no agent was added

	disable        disableState
	notShown       int       // inspections in a row that did not show the agent
	logonRefusedAt time.Time // when the server first refused the listener's logon
	notFoundOnce   bool      // the last answer to a change of the agent was NotFound
	removeRefused  bool      // a removal was refused for a lasting reason
	abandonErr     error     // why the agent was abandoned

	reregister     bool        // after the removal, register again instead of finishing
	reregisteredAt []time.Time // the times of that, within the last hour
}

// sessionState is what is known of one listener's session and of its jobs.
type sessionState struct {
	launchedAt    time.Time // when the listener was started
	readyAt       time.Time // when its session existed; zero: not yet
	adopted       bool      // a previous run started this listener, and its jobs are that run's
	conflict      bool      // it met the session of an earlier listener
	conflictSince time.Time // when a listener first met that session
	restarts      int       // restarts since a listener last stayed ready for restartResetTime
	lastExit      Exit      // how it last exited, while the server is asked about the agent

	noJobSince      time.Time // when the listener last became idle
	endedAfterDrain bool      // its last job ended after a drain was requested
	jobAssigned     bool      // the server last showed an assigned job

	worker     WorkerState // the last scan's result, except WorkerUnknown
	scanned    WorkerState // the last scan's result
	scannedAt  time.Time   // when the last finished scan began; zero: no scan since the last job ended
	scanSince  time.Time   // when the scan that is under way began; zero: none is
	nextScanAt time.Time   // zero: none is planned
}

// drainState is the progress of a drain, from the request to the listener's exit.
type drainState struct {
	graceStartedAt time.Time     // when the grace period began; zero: there is no deadline
	grace          time.Duration // its length
	interruptedAt  time.Time     // time of the last SIGINT that counts; another within a second does not count
	cancelJob      bool          // a running job is cancelled, because of Policy.CancelOnTerm
	idleSince      time.Time     // since then, server and process table agree that no job runs
	killAt         time.Time     // while Stopping: when SIGKILL is sent, or when the wait after SIGKILL ends
	exitAt         time.Time     // when azptend exits, once the last scan has begun

	cutSince       time.Time // when the cut became due; zero: no cut is due
	cutScanned     bool      // a scan that began after cutSince has finished
	scanTooOld     bool      // the scan that is under way began before cutSince
	interruptCause End       // the run's end if the interrupt of the listener cut a job
	mayBeCut       bool      // a job may have run at the interrupt

	stopSince  time.Time // when azptend wanted to stop the listener, and first scanned for a worker
	stopScans  int       // the number of those scans
	stopScanBy time.Time // how long the scan that is under way is waited for
}

// callState is the call in flight and the next one.
type callState struct {
	inFlight   Call      // NoCall when there is none
	startedAt  time.Time // when the last call began
	abortAt    time.Time // when it is aborted, because the grace period has begun
	next       Call      // begins at nextAt, once no call is in flight
	nextAt     time.Time
	failures   int       // in a row, of the call that next repeats
	retryUntil time.Time // when the retries of it stop; zero: never
	giveUpAt   time.Time // end of Booting, Registering or Removing if the exit deadline is not earlier
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

// RegistrationEnded says that a step ended a registration. The state after it is
// Unregistered if azptend registers again.
func RegistrationEnded(before, after State) bool {
	ended := after.Registration == Removed || after.Registration == Unregistered || after.AgentID != before.AgentID
	return before.Registration == Registered && ended
}
