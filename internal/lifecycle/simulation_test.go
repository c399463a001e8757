package lifecycle

import (
	"fmt"
	"reflect"
	"time"

	"pgregory.net/rapid"
)

// simulation is everything outside Step: a server, a listener with its job, the
// clock, and a supervisor. It does what Step relies on: a call is answered by its
// deadline, a Tick comes at NextTick, an aborted call is answered at once, and SIGKILL
// ends a process.
type simulation struct {
	t     *rapid.T
	now   time.Time
	state State
	start time.Time

	pending *StartCall // the call in flight
	aborted bool

	callsAt     time.Time
	callsAtOnce int // calls at callsAt that followed from answers alone

	// The server.
	agents            map[int]*simAgent // with this run's owner tag
	nextID            int
	posts             []time.Time // of the last second
	latePost          time.Time   // when the server acts on a POST whose answer was lost
	holder            bool        // another agent has our name
	holderOnline      bool
	holderOurs        bool // the record in the directory proves that it is a previous run's
	holderHidden      bool // another agent has our name, and no look-up shows it
	holderRecent      bool // it is offline, and may just be starting
	noCredentials     bool // look-ups never return the listener's credentials
	hidAgent          bool // an answer did not show an agent that exists
	lockReported      bool // an answer said that a job runs whose listener has exited
	lockExpiredUnseen bool // a job's lock expired while azptend was frozen, before an answer said so

	// What the start found.
	dirInUse   bool // another agent used the directory at the last Prepare
	previousID int  // the agent of a run that was killed, according to the directory's files
	leftover   bool // a previous run left an agent, which is not replaced yet
	externalID int  // the agent that another azptend registered for this one

	// The listener and its job.
	alive         bool
	dying         time.Time // when it exits after a signal
	listenerAgent int       // the agent that it serves
	job           bool      // a job runs in it
	stepsEnded    bool      // the job's steps have ended, and its end is not reported yet
	startReported bool      // the job's start was reported on the socket
	dyingJob      bool      // the listener was interrupted, and its worker still runs
	logReadable   bool      // the listener's log can be read
	lastCut       Cut       // what that log will say of the last job
	socket        bool
	updating      bool
	received      int // jobs in this run
	killSent      bool

	scanBegan   time.Time // start of a scan of the process table that is not answered; zero: none
	scanSlow    bool
	scanWasSlow bool // an earlier scan was

	frozen    bool    // azptend does not run: events are queued
	wasFrozen bool    // it was frozen before
	queued    []Event // events since it was frozen

	// Requests to end the run.
	interrupts      int // SIGINTs that count
	interruptedAt   time.Time
	secondInterrupt bool
	sigtermSent     bool
	graceStart      time.Time // of the grace period that counts
	grace           time.Duration

	// What checkOutcome and checkReason need.
	disableTried     bool
	disableDenied    bool // the server refused to disable or to show the agent
	cut              bool // a signal to the listener cut a job
	cutUnreported    bool // and its start had not been reported
	cutAfterDrain    bool // the listener was signalled when no drain time was left
	workerStale      bool // a scan showed a worker, and nothing says that its job has ended
	resultUnreported bool // the listener was interrupted between the end of the steps and the report
	lostJob          bool // a listener exited during its job
	lostJobKnown     bool // and azptend knew of that job
	reregisteredAt   []time.Time
	reported         map[int]bool // agents that ReportLeftover was about
	finish           *Finish
	seen             map[string]bool // phase × event
	states           []State
}

type simAgent struct {
	enabled  bool
	assigned bool
}

func newSimulation(t *rapid.T, p Policy, seen map[string]bool) *simulation {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	w := &simulation{
		t: t, now: now, start: now, state: New(p),
		agents: map[int]*simAgent{}, nextID: 7, reported: map[int]bool{}, seen: seen,
		holder:        rapid.Bool().Draw(t, "another agent has the name"),
		holderOnline:  rapid.Bool().Draw(t, "it is online"),
		holderRecent:  rapid.Bool().Draw(t, "it is recent"),
		holderOurs:    rapid.Bool().Draw(t, "it is ours"),
		holderHidden:  rapid.IntRange(0, 20).Draw(t, "another agent is hidden") == 20,
		noCredentials: rapid.Bool().Draw(t, "no credentials"),
		logReadable:   rapid.Bool().Draw(t, "log is readable"),
	}
	if !p.RegisterOnly && rapid.IntRange(0, 9).Draw(t, "previous agent") == 9 {
		w.previousID = w.addAgent()
	}
	w.feed(Begin{PreviousAgentID: w.previousID})
	return w
}

// feed applies an event. It checks what must hold after each step, and carries out the
// actions.
func (w *simulation) feed(e Event) {
	if w.frozen {
		w.queued = append(w.queued, e)
		return
	}
	w.step(e, Step)
}

// thaw lets azptend go on: it applies all queued events, and then checks deadlines.
func (w *simulation) thaw() {
	w.frozen, w.wasFrozen = false, true
	w.workerStale = w.workerStale || !w.alive && !w.socket
	for _, e := range w.queued {
		if w.finish == nil {
			w.step(e, Apply)
		}
	}
	w.queued = nil
	w.feed(Tick{})
}

func (w *simulation) step(e Event, step func(State, Event, time.Time) (State, []Action)) {
	w.seen[string(w.state.Phase)+" × "+reflect.TypeOf(e).Name()] = true
	if _, answers := e.(interface{ Answer() Result }); !answers {
		w.callsAtOnce = 0
	}
	before := w.state
	if life := before.policy.Limits.Lifetime; life > 0 && !w.wasFrozen && before.Phase != Gone && before.Reason == "" && w.now.After(w.start.Add(life)) {
		w.t.Fatalf("goes on after its lifetime: %+v", before)
	}
	after, actions := step(before, e, w.now)
	w.state = after
	w.states = append(w.states, after)
	w.countReregistration(before, after)
	for _, a := range actions {
		w.act(before, a)
	}
	wake := after.NextTick()
	if _, settled := e.(Tick); (settled || len(w.queued) == 0) && after.Phase != Gone && !wake.IsZero() && !wake.After(w.now) {
		w.t.Fatalf("NextTick is not in the future: %+v", after)
	}
}

func (w *simulation) countReregistration(before, after State) {
	if after.Phase != Registering || before.Phase == Registering || before.Phase == Booting {
		return
	}
	if w.leftover { // this is the first registration of this run
		w.leftover, w.received = false, 0
		return
	}
	w.reregisteredAt = append(since(w.reregisteredAt, w.now.Add(-reregisterWindow)), w.now)
	if len(w.reregisteredAt) > maxReregistrations {
		w.t.Fatalf("registers again %d times within an hour", len(w.reregisteredAt))
	}
}

func (w *simulation) act(before State, a Action) {
	switch a := a.(type) {
	case StartCall:
		w.startCall(a)
	case AbortCall:
		w.aborted = true
	case InterruptListener:
		w.interrupted()
	case KillListener:
		w.killed()
	case AwaitUpdate:
		w.updating = true
	case ScanForWorker:
		if !w.alive && w.wasFrozen { // azptend does not know of its exit yet
			return
		}
		if !w.alive {
			w.t.Fatalf("scans for a worker of a listener that has exited")
		}
		w.scanBegan, w.scanSlow = w.now, rapid.IntRange(0, 9).Draw(w.t, "slow scan") == 9
		w.scanWasSlow = w.scanWasSlow || w.scanSlow
	case ReportLeftover:
		w.reported[a.AgentID] = true
	case Finish:
		w.finish = &a
	}
}

func (w *simulation) startCall(a StartCall) {
	if w.pending != nil {
		w.t.Fatalf("starts %s while %s is in flight", a.Call, w.pending.Call)
	}
	if !a.Deadline.After(w.now) && !w.wasFrozen {
		w.t.Fatalf("starts %s with no time to answer", a.Call)
	}
	if w.state.Phase == Stopping {
		w.t.Fatalf("starts %s while its listener is stopped: the removal would have to wait", a.Call)
	}
	w.checkCall(a)
	if a.Call == Launch {
		if w.externalID != 0 && w.leftover { // the first listener of this run
			w.leftover, w.received = false, 0
		}
		if w.alive {
			w.t.Fatalf("launches a second listener")
		}
		if w.state.policy.Once && w.received > 0 && !w.lockExpiredUnseen {
			w.t.Fatalf("starts a second listener after the one job of a run with Once")
		}
	}
	w.pending, w.aborted = &a, false
	w.countCalls()
}

// maxCallsAtOnce is how many calls can follow from answers alone. With a previous run's
// agent in the directory and another agent that has the name, they are: prepare, remove,
// register, look up, remove conflicting, register (answer lost), look up, launch.
const maxCallsAtOnce = 8

// countCalls detects a loop of calls and answers without other events, at one moment.
func (w *simulation) countCalls() {
	if !w.now.Equal(w.callsAt) {
		w.callsAt, w.callsAtOnce = w.now, 0
	}
	if w.callsAtOnce++; w.callsAtOnce > maxCallsAtOnce {
		w.t.Fatalf("starts %d calls at one moment", w.callsAtOnce)
	}
}

// checkCall checks that a call is allowed now.
func (w *simulation) checkCall(a StartCall) {
	if w.externalID != 0 && a.Call != Prepare && a.Call != Launch && a.Call != Inspect {
		w.t.Fatalf("starts %s although another azptend registered the agent", a.Call)
	}
	switch a.Call {
	case Disable:
		w.disableTried = true
	case RemoveConflicting:
		if w.holderOnline && !w.holderOurs {
			w.t.Fatalf("removes an online agent without proof that it is ours")
		}
		if w.holderRecent && !w.holderOnline && !w.holderOurs {
			w.t.Fatalf("removes an agent that may just be starting, without proof that it is ours")
		}
	case Register:
		if w.state.Reason != "" {
			w.t.Fatalf("registers an agent after a drain was requested")
		}
	case Remove:
		if w.alive && w.dying.IsZero() && !w.disableTried {
			w.t.Fatalf("removes an agent without disabling it first")
		}
		if left := w.state.exitDeadline().Sub(w.now); !w.graceStart.IsZero() && left > 3*minCallTime && a.Deadline.Sub(w.now) > left/2 {
			w.t.Fatalf("one removal may take %v of the %v that are left", a.Deadline.Sub(w.now), left)
		}
	}
}

func (w *simulation) drainLeft() bool {
	return w.graceStart.IsZero() || w.now.Before(w.graceStart.Add(SplitGrace(w.grace).Drain))
}

func (w *simulation) interrupted() {
	if !w.alive && w.wasFrozen { // azptend does not know of its exit yet
		return
	}
	if !w.alive {
		w.t.Fatalf("interrupts a listener that has exited")
	}
	w.dyingJob = w.job && !w.stepsEnded
	w.workerStale = !w.job && !w.socket && w.state.session.worker.runs()
	w.cutAfterDrain = w.cutAfterDrain || !w.drainLeft()
	w.endJob("interrupted")
	w.dying = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(w.t, "seconds until exit")) * time.Second)
}

func (w *simulation) killed() {
	w.cutAfterDrain = w.cutAfterDrain || !w.drainLeft()
	w.workerStale = w.workerStale || !w.job && !w.socket && w.state.session.worker.runs()
	w.killSent = true
	if w.updating {
		w.t.Fatalf("kills the update script: %+v", w.state)
	}
	if w.alive {
		w.endJob("killed")
		w.dying = w.now.Add(100 * time.Millisecond)
	}
}

func (w *simulation) endJob(how string) {
	if !w.job {
		return
	}
	cancels := w.state.policy.CancelOnTerm && w.sigtermSent
	// Only the process table shows a job of an agent that another azptend registered, and
	// the last scan may be from before a freeze.
	unknowable := w.wasFrozen && !(w.socket && w.startReported) && w.listenerAgent == w.externalID
	// No source shows a job whose steps have ended and whose start was not reported, if
	// the server does not show the agent and does not answer the DELETE.
	unknowable = unknowable || w.stepsEnded && w.hidAgent && !(w.socket && w.startReported)
	if w.drainLeft() && !w.secondInterrupt && !w.disableDenied && !cancels && !unknowable {
		w.t.Fatalf("a job is %s while drain budget is left (%v of %v)", how, w.now.Sub(w.state.drain.graceStartedAt), w.state.Budget.Drain)
	}
	if w.stepsEnded && how == "interrupted" { // the interrupt does not change its result
		early := w.now.Before(w.graceStart.Add(SplitGrace(w.grace).Drain + SplitGrace(w.grace).Stop/2))
		if early && w.startReported && w.socket && !w.secondInterrupt && !w.disableDenied && !cancels && !w.scanWasSlow && SplitGrace(w.grace).Stop > 0 {
			w.t.Fatalf("a job whose steps have ended is %s, %v after the grace period began", how, w.now.Sub(w.graceStart))
		}
		w.resultUnreported = true
		w.finishJob()
		return
	}
	w.cut, w.lastCut, w.cutUnreported = true, SurelyCut, w.cutUnreported || !w.startReported || !w.socket
	w.finishJob()
}

func (w *simulation) finishJob() {
	w.job, w.stepsEnded = false, false
	if a := w.agents[w.listenerAgent]; a != nil {
		a.assigned = false
	}
}

// horizon is when the next thing happens by time; zero: never.
func (w *simulation) horizon() time.Time {
	times := []time.Time{w.dying, w.latePost}
	if !w.frozen {
		times = append(times, w.state.NextTick())
	}
	if !w.scanBegan.IsZero() {
		times = append(times, w.scanBegan.Add(slowScan))
	}
	if w.pending != nil {
		times = append(times, w.pending.Deadline)
	}
	return earliest(times...)
}

// advance moves the clock by d, or to the horizon if that is earlier, and does what is
// due then.
func (w *simulation) advance(d time.Duration) {
	w.answerScan()
	to := w.now.Add(d)
	if h := w.horizon(); !h.IsZero() && h.Before(to) {
		to = h
	}
	w.now = to
	w.runDue()
}

func (w *simulation) runDue() {
	w.answerScan()
	if reached(w.latePost, w.now) {
		w.latePost = time.Time{}
		w.addAgent()
	}
	if w.pending != nil && (w.aborted || reached(w.pending.Deadline, w.now)) {
		w.answer(false)
	}
	if reached(w.dying, w.now) {
		w.dying = time.Time{}
		w.exit(Exit{})
	}
	w.answerScan()
	if !w.frozen && reached(w.state.NextTick(), w.now) {
		w.feed(Tick{})
		w.answerScan()
	}
	if w.pending != nil && w.aborted {
		w.answer(false)
	}
}

// slowScan is longer than maxScanTime.
const slowScan = 3 * time.Second

// answerScan answers the scan that is under way, if it is due.
func (w *simulation) answerScan() {
	for !w.scanBegan.IsZero() && (!w.scanSlow || reached(w.scanBegan.Add(slowScan), w.now)) {
		w.scanBegan = time.Time{}
		w.feed(WorkerScanned{Worker: w.workerState()})
	}
}

// workerState is what a scan of the process table shows.
func (w *simulation) workerState() WorkerState {
	switch {
	case w.job && w.stepsEnded && w.listenerAgent == w.externalID: // no other source shows this job
		return WorkerWithoutSteps
	case w.job && w.stepsEnded:
		return rapid.SampledFrom([]WorkerState{NoWorker, WorkerWithoutSteps}).Draw(w.t, "work")
	case w.job, w.dyingJob && w.alive:
		return WorkerWithSteps
	}
	return NoWorker
}

func (w *simulation) addAgent() int {
	w.nextID++
	w.agents[w.nextID] = &simAgent{enabled: true}
	return w.nextID
}

func (w *simulation) exit(e Exit) {
	if w.job && !w.startReported && w.socket { // its notifications are read before its exit is seen
		w.startReported = true
		w.feed(JobStarted{})
	}
	w.listenerEnded(e)
}

// listenerEnded is the listener's exit. A job whose start was not reported stays unknown.
func (w *simulation) listenerEnded(e Exit) {
	w.workerStale = w.workerStale || !w.job && !w.socket && w.state.session.worker.runs()
	w.alive, w.dying, w.dyingJob, w.scanBegan = false, time.Time{}, false, time.Time{}
	if w.job {
		w.lostJob, w.lockReported = true, false
		w.lostJobKnown = w.lostJobKnown || w.state.Job == RunningJob && !w.frozen && e.Code != 3 && e.Code != 4
		w.job, w.stepsEnded = false, false // the server keeps it assigned until its lock expires
	}
	ended := ListenerExited{Exit: e}
	if w.logReadable {
		ended.Cut = w.lastCut
	}
	w.lastCut = NotCut
	w.feed(ended)
}

// answer answers the call in flight: well, or with a fault.
func (w *simulation) answer(well bool) {
	a := *w.pending
	w.pending, w.aborted = nil, false
	fault := Result{Outcome: Unreachable, Err: fmt.Errorf("no answer")}
	switch a.Call {
	case Prepare:
		w.prepare(well, fault)
	case Register:
		w.feed(w.post(well))
	case LookUp:
		w.feed(w.lookUp(well, fault))
	case RemoveConflicting:
		r := w.either(well, fault)
		if r.Outcome == OK {
			w.holder = false
		}
		w.feed(RemoveConflictingResult{r})
	case Launch:
		w.launch(well)
	case Disable:
		w.feed(DisableResult{w.disable(a.AgentID, well, fault)})
	case Inspect:
		w.feed(w.inspect(a.AgentID, well, fault))
	case Remove:
		w.feed(RemoveResult{w.remove(a.AgentID, well, fault)})
	}
}

// prepare answers Prepare. Sometimes it finds the agent of a previous run, or one that
// another azptend registered.
func (w *simulation) prepare(well bool, fault Result) {
	if rapid.IntRange(0, 3).Draw(w.t, "directory in use") == 3 {
		fault.Outcome = DirInUse
	}
	e := PrepareResult{Result: w.either(well, fault)}
	w.dirInUse = e.Outcome == DirInUse
	if !well {
		w.feed(e)
		return
	}
	found := rapid.IntRange(0, 5).Draw(w.t, "found")
	if w.previousID != 0 {
		found = 5
	}
	switch {
	case w.state.policy.RegisterOnly:
	case found == 4:
		w.externalID = w.addAgent()
		e.ExternalAgentID, e.Leftover.ListenerRuns = w.externalID, rapid.Bool().Draw(w.t, "listener runs")
		if w.alive = e.Leftover.ListenerRuns; w.alive {
			w.leftover, w.listenerAgent = true, w.externalID
			w.job = rapid.Bool().Draw(w.t, "with a job")
			w.agents[w.externalID].assigned, e.Leftover.WorkerRuns = w.job, w.job
		}
	case found == 5:
		w.leftover = true
		id := w.previousID
		if id == 0 {
			id = w.addAgent()
		}
		e.Leftover = Leftover{AgentID: id, ListenerRuns: rapid.Bool().Draw(w.t, "listener runs")}
		if w.alive = e.Leftover.ListenerRuns; w.alive {
			w.listenerAgent, w.disableTried = e.Leftover.AgentID, false
			w.job = rapid.Bool().Draw(w.t, "with a job")
			w.agents[w.listenerAgent].assigned, e.Leftover.WorkerRuns = w.job, w.job
		}
	}
	w.feed(e)
}

func (w *simulation) either(well bool, fault Result) Result {
	if well {
		return Result{Outcome: OK}
	}
	return fault
}

// countPost detects a loop without pauses. A POST may be repeated at once only after
// another agent that had the name was removed.
func (w *simulation) countPost() {
	w.posts = append(since(w.posts, w.now.Add(-time.Second)), w.now)
	if len(w.posts) > 2 {
		w.t.Fatalf("POSTs %d times within a second", len(w.posts))
	}
}

func (w *simulation) post(well bool) RegisterResult {
	w.countPost()
	if len(w.agents) > 0 || w.holder || w.holderHidden {
		return RegisterResult{Result: Result{Outcome: NameTaken}}
	}
	if well {
		return RegisterResult{Result: Result{Outcome: OK}, AgentID: w.addAgent()}
	}
	switch rapid.IntRange(0, 4).Draw(w.t, "POST") {
	case 0:
		return RegisterResult{Result: Result{Outcome: Unreachable}}
	case 1:
		w.addAgent()
		return RegisterResult{Result: Result{Outcome: Unclear}}
	case 2:
		return RegisterResult{Result: Result{Outcome: Unclear}}
	case 3:
		w.addAgent()
	default:
		w.latePost = w.now.Add(time.Duration(rapid.IntRange(1, 4).Draw(w.t, "late")) * time.Second)
	}
	return RegisterResult{Result: Result{Outcome: AnswerLost}}
}

func (w *simulation) lookUp(well bool, fault Result) LookUpResult {
	if !well {
		return LookUpResult{Result: fault}
	}
	for id := range w.agents {
		return LookUpResult{Result: Result{Outcome: OK}, Owner: ThisRun, AgentID: id,
			HasCredentials: !w.noCredentials && rapid.Bool().Draw(w.t, "complete")}
	}
	if w.holder {
		owner := Foreign
		if w.holderOurs {
			owner = PreviousRun
		}
		return LookUpResult{Result: Result{Outcome: OK}, Owner: owner, AgentID: 3, Online: w.holderOnline, RecentlyCreated: w.holderRecent && !w.holderOnline}
	}
	return LookUpResult{Result: Result{Outcome: OK}, Owner: NoAgent}
}

func (w *simulation) launch(well bool) {
	if !well {
		w.feed(LaunchResult{Result{Outcome: DirUnusable}})
		return
	}
	if w.state.policy.RegisterOnly {
		if w.state.Reason == "" {
			w.externalID = w.state.AgentID
		}
		w.feed(LaunchResult{Result{Outcome: OK}})
		return
	}
	w.alive, w.socket, w.startReported, w.listenerAgent = true, true, false, w.state.AgentID
	w.killSent, w.disableTried = false, false
	w.feed(LaunchResult{Result{Outcome: OK}})
}

func (w *simulation) disable(id int, well bool, fault Result) Result {
	a := w.agents[id]
	switch {
	case !well && rapid.IntRange(0, 5).Draw(w.t, "denied") == 0:
		w.disableDenied = true
		return Result{Outcome: Denied}
	case a == nil:
		return Result{Outcome: NotFound}
	case well:
		a.enabled = false
		return Result{Outcome: OK}
	}
	return fault
}

func (w *simulation) inspect(id int, well bool, fault Result) InspectResult {
	a := w.agents[id]
	switch {
	case !well && rapid.IntRange(0, 5).Draw(w.t, "inspection denied") == 0:
		w.disableDenied = true
		return InspectResult{Result: Result{Outcome: Denied}, Worker: w.workerState()}
	case !well && id != w.externalID && rapid.IntRange(0, 3).Draw(w.t, "outdated answer") == 0:
		w.hidAgent = true
		return InspectResult{Result: Result{Outcome: NotFound}, Worker: w.workerState()}
	case !well:
		return InspectResult{Result: fault, Worker: w.workerState()}
	case id == w.externalID: // only the process table can be asked
		return InspectResult{Result: Result{Outcome: OK}, Worker: w.workerState()}
	case a == nil:
		return InspectResult{Result: Result{Outcome: NotFound}, Worker: w.workerState()}
	}
	return InspectResult{Result: Result{Outcome: OK}, Assigned: a.assigned, Worker: w.workerState()}
}

func (w *simulation) remove(id int, well bool, fault Result) Result {
	a := w.agents[id]
	switch {
	case a == nil && well:
		return Result{Outcome: NotFound}
	case a != nil && a.assigned && well:
		w.lockReported = w.lostJob
		return Result{Outcome: JobRunning}
	case well:
		delete(w.agents, id)
		return Result{Outcome: OK}
	case rapid.IntRange(0, 3).Draw(w.t, "removed, answer lost") == 0 && a != nil && !a.assigned:
		delete(w.agents, id)
		return Result{Outcome: AnswerLost}
	case rapid.IntRange(0, 8).Draw(w.t, "refused") == 0:
		return Result{Outcome: Denied}
	}
	return fault
}

// moves are the things that can happen next, by name.
func (w *simulation) moves() map[string]func() {
	m := map[string]func(){
		"time passes":     func() { w.advance(time.Duration(rapid.IntRange(1, 8000).Draw(w.t, "ms")) * time.Millisecond) },
		"next deadline":   func() { w.advance(time.Hour) },
		"SIGTERM":         w.sigterm,
		"SIGINT":          w.sigint,
		"scheduled event": w.scheduledEvent,
		"azptend drain":   func() { w.feed(DrainRequested{Reason: "asked"}) },
		"early tick":      func() { w.feed(Tick{}) },
		"minutes pass":    func() { w.advance(5 * time.Minute) },
		"nothing happens": func() {},
	}
	if w.frozen {
		for _, name := range []string{"SIGTERM", "SIGINT", "scheduled event", "azptend drain", "early tick"} {
			delete(m, name) // the same as if it came after the freeze
		}
		m["azptend goes on"] = w.thaw
	} else {
		m["azptend is frozen"] = func() { w.frozen = true }
	}
	if w.pending != nil {
		m["answer"] = func() { w.answer(true) }
		m["fault"] = func() { w.answer(false) }
	}
	// A lock expires after minutes. It does so here only after an answer has shown the job,
	// because azptend asks within that time, unless it is frozen.
	if a := w.agents[w.listenerAgent]; !w.alive && (w.lockReported || w.frozen) && a != nil && a.assigned {
		m["lock expires"] = func() { a.assigned, w.lockExpiredUnseen = false, w.lockExpiredUnseen || !w.lockReported }
	}
	if w.updating {
		m["update ends"] = func() { w.updating = false; w.feed(UpdateEnded{}) }
	}
	if w.alive {
		w.listenerMoves(m)
	}
	return m
}

func (w *simulation) listenerMoves(m map[string]func()) {
	a := w.agents[w.listenerAgent]
	dying := !w.dying.IsZero()
	m["session"] = func() { w.feed(SessionReady{}) }
	m["session conflict"] = func() { w.feed(SessionConflict{}) }
	m["agent not listed"] = func() { w.feed(AgentMaybeDeleted{}) }
	m["logon refused"] = func() { w.feed(AgentMaybeDeleted{LogonRefused: true}) }
	m["exit"] = func() {
		ends := []Exit{{}, {Code: 1}, {Code: 2}, {Code: 3}, {Code: 4}, {Signal: 9}}
		if w.leftover {
			ends = ends[:1] // azptend cannot see the exit code of a process that is not its child
		}
		w.exit(rapid.SampledFrom(ends).Draw(w.t, "how"))
	}
	if w.socket {
		m["socket lost"] = func() { w.socket = false; w.feed(SocketLost{}) }
	}
	mayTake := !w.state.policy.Once || w.received == 0
	if a != nil && a.enabled && !a.assigned && !dying && mayTake {
		m["job assigned"] = func() { a.assigned = true }
	}
	if a != nil && a.assigned && !w.job && !dying && mayTake {
		m["job starts"] = func() { w.job, w.startReported, w.lastCut = true, false, NotCut; w.received++ }
	}
	if w.job && !w.startReported && w.socket {
		m["killed before the start is reported"] = func() { w.listenerEnded(Exit{Signal: 9}) }
		m["start is reported"] = func() { w.startReported = true; w.feed(JobStarted{}) }
	}
	if w.job && !w.stepsEnded {
		m["steps end"] = func() { w.stepsEnded = true }
	}
	if w.job && (w.startReported || !w.socket) {
		m["job finishes"] = func() {
			w.finishJob()
			if w.socket {
				w.feed(JobFinished{})
			}
		}
	}
	if a != nil && !a.assigned {
		m["deleted by a person"] = func() { delete(w.agents, w.listenerAgent) }
	}
}

// sigterm sends SIGTERM, which starts the grace period.
func (w *simulation) sigterm() {
	w.sigtermSent = true
	w.startGrace(w.state.policy.Grace)
	w.feed(DrainRequested{Reason: "SIGTERM", StartsGrace: true, CancelsJob: true, At: w.now})
}

func (w *simulation) sigint() {
	if w.interrupts == 0 || w.now.Sub(w.interruptedAt) >= secondInterruptAfter {
		w.interrupts, w.interruptedAt = w.interrupts+1, w.now
		w.secondInterrupt = w.interrupts > 1
		w.startGrace(w.state.policy.Grace)
	}
	w.feed(UserInterrupt{At: w.now})
}

// startGrace starts a grace period. The one that ends first counts.
func (w *simulation) startGrace(grace time.Duration) {
	if w.graceStart.IsZero() || w.now.Add(grace).Before(w.graceStart.Add(w.grace)) {
		w.graceStart, w.grace = w.now, grace
	}
}

// scheduledEvent announces when the platform ends the machine.
func (w *simulation) scheduledEvent() {
	grace := time.Duration(rapid.SampledFrom([]int{1, 4, 30, 900}).Draw(w.t, "scheduled event")) * time.Second
	w.startGrace(grace)
	w.feed(DrainRequested{Reason: "scheduled event", StartsGrace: true, Grace: grace, At: w.now})
}
