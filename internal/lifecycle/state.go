package lifecycle

import "time"

// Phase is where the agent is in its life.
type Phase string

// The phases, in the order of a good life.
const (
	Booting     Phase = "booting"     // token, key, agent folder and pool are made ready
	Registering Phase = "registering" // the server is asked to add the agent
	Starting    Phase = "starting"    // the listener is started, or started again
	Idle        Phase = "idle"        // listening, no job
	Busy        Phase = "busy"        // a job runs, or nobody knows that none does
	Draining    Phase = "draining"    // no further job is accepted; the running one is finished
	Removing    Phase = "removing"    // the server is asked to remove the agent
	Stopping    Phase = "stopping"    // the listener was told to end
	Gone        Phase = "gone"        // nothing is left to do
)

// Registration is what the server knows of this agent.
type Registration string

// The words of a registration. From Asked on, the life may only end Removed or
// Named; a Lent one stays what it is.
const (
	Unregistered Registration = "unregistered" // the server has no agent of this life
	Pending      Registration = "pending"      // the POST is under way, or its answer was lost
	Registered   Registration = "registered"   // the server has the agent, and AgentID is its id
	Removed      Registration = "removed"      // the server has it no more
	Abandoned    Registration = "abandoned"    // it could not be removed, and was named to a person
	External     Registration = "external"     // somebody else has registered it, and will remove it
)

// ListenerState is what is known of the listener's process.
type ListenerState string

// The words of a listener.
const (
	Absent      ListenerState = "absent"      // not started, or reaped
	Running     ListenerState = "running"     // started, and not told to end
	Interrupted ListenerState = "interrupted" // told to end: SIGINT
	Killed      ListenerState = "killed"      // SIGKILL was sent to it and to all below it
	Updating    ListenerState = "updating"    // exited for an update that a script of its own finishes
)

// JobState is what the listener's notification socket last said.
type JobState string

// The words of a job.
const (
	NoJob      JobState = "none"
	RunningJob JobState = "running"
	UnknownJob JobState = "unknown" // the socket was lost: treated as running
)

// disableState is whether the server may still assign jobs to the agent.
type disableState string

const (
	notDisabled    disableState = "open"
	disabled       disableState = "closed" // disabled on the server
	disableRefused disableState = "stuck"  // the server will not disable it; go on without
)

// Policy is what a person decided about this life.
type Policy struct {
	Once         bool          // one job, then leave
	Grace        time.Duration // from the platform's first word to SIGKILL
	NameWait     time.Duration // how long to watch an online twin
	StrictRemove bool          // exit 75 when the agent could not be removed
	CancelOnTerm bool          // the platform's word cancels a running job
	RegisterOnly bool          // only register: another life runs the agent, and somebody else removes it
	JitterSeed   uint64        // of the chance that keeps many agents from trying again in step; 0: no chance
	Limits       Limits
}

// State is everything Step knows. The zero value is not a state: use New.
type State struct {
	Phase        Phase
	Registration Registration
	Listener     ListenerState
	Job          JobState
	AgentID      int    // the server's id while Held, and after
	Jobs         int    // jobs the listener received in this life
	Reason       string // why the agent drains; empty while nobody asked

	policy     Policy
	budget     Budget
	acceptance disableState

	call    Call      // in flight; NoCall when none is
	askedAt time.Time // when the last call was made
	abortAt time.Time // when it is no longer waited for, by the platform's word
	next    Call      // to be made at nextAt, once no call is in flight
	when    time.Time // when next is due
	tries   int       // failures in a row of the call that next repeats
	until   time.Time // when that stops; zero: never
	twin    int       // the id RemoveTwin is about

	former int // while Booting: the agent that a killed life has left, so its files say

	lostAt time.Time // when the answer to Register was lost, or in doubt
	taken  bool      // the last answer to Register was that the name is taken
	no     *Result   // the answer that ends the registering, once nobody bears our mark

	born       time.Time // when the life began
	quietSince time.Time // since when the listener has had no job
	outlived   bool      // the last job ended after the end of the life was asked for
	inherited  bool      // the listener is an earlier life's, and so are its jobs

	clock    time.Time     // the platform's first word: the budget runs from here; zero: no deadline
	grace    time.Duration // from the clock to the platform's SIGKILL
	heard    time.Time     // the last word that counted, for a person's insistence; not a limit's
	insisted bool          // a person did not want to wait for the job
	cancels  bool          // a running job is cancelled, by the platform's word and the policy
	killAt   time.Time     // while Stopping: when SIGKILL follows, or when waiting for it ends
	patience time.Time     // when the stage under way is given up, where no budget rules
	watched  time.Time     // since when an online twin, or an agent at work in our folder, is watched

	work         WorkerState // what the process table last showed of a job of this listener
	lookedAt     time.Time   // when it did; zero: not since the last job ended
	lookingSince time.Time   // since when a look is under way; zero: none is
	lookAt       time.Time   // when to look again; zero: no look is planned
	cutSince     time.Time   // since when the job is due to be cut; zero: it is not
	cutSeen      bool        // a look that was begun since has come in
	oldLook      bool        // the look that is under way was begun before
	endAt        time.Time   // when azptend leaves, where one look was still to be made at the last call
	toldFor      cutCause    // why azptend told the listener to end
	mayBeCut     bool        // a job may have run then

	missed    bool        // the last answer about the agent was that there is none
	refused   bool        // a removal was, for no reason that passes
	nameErr   error       // why the agent was named
	assigned  bool        // the last look found a job
	idleSince time.Time   // since when all but the lost socket have said "idle"
	exit      Exit        // how the listener last ended, while its cause is looked into
	readyAt   time.Time   // when the listener last became ready
	restarts  int         // restarts since it last stayed ready for long
	held      bool        // the listener has met the session of an earlier one
	heldSince time.Time   // since when that is in the way
	doubts    int         // looks in a row that did not show the agent
	refusedAt time.Time   // since when its registration is refused
	launchAt  time.Time   // when the listener was started
	rejoin    bool        // after the removal, register anew instead of leaving
	rejoined  []time.Time // when that was done, within the last hour

	code int    // the exit code so far
	why  string // its reason in words
	err  error  // its cause
}

// New is the state of an agent that has done nothing yet.
func New(p Policy) State {
	return State{
		Phase:        Booting,
		Registration: Unregistered,
		Listener:     Absent,
		Job:          NoJob,
		policy:       p,
		grace:        p.Grace,
		budget:       SplitGrace(p.Grace),
		acceptance:   notDisabled,
	}
}

// Budget is how the grace period would be spent if the end were asked for now.
func (s State) Budget() Budget { return s.budget }

// Deadline is when the platform is expected to kill us; zero while it has not
// spoken.
func (s State) Deadline() time.Time {
	if s.clock.IsZero() {
		return time.Time{}
	}
	return s.clock.Add(s.grace)
}

// RegistrationEnded says that a step ended a registration that was held. One that is
// followed by another at once is Unregistered already.
func RegistrationEnded(before, after State) bool {
	ended := after.Registration == Removed || after.Registration == Unregistered || after.AgentID != before.AgentID
	return before.Registration == Registered && ended
}
