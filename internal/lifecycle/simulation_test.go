package lifecycle

import (
	"fmt"
	"reflect"
	"time"

	"pgregory.net/rapid"
)

// simulation is everything outside Step: a server, a listener with its job, the
// clock, and a runner that keeps the promises Step relies on: an answer by the
// time the call names, a Tick at Wake, an answer at once after Abort, and a
// process that dies of SIGKILL.
type simulation struct {
	t     *rapid.T
	now   time.Time
	state State
	start time.Time

	pending *StartCall // the call in flight
	aborted bool

	askedAt time.Time
	asks    int // since then, by answers alone

	agents   map[int]*simAgent // what the server has with this run's owner tag
	nextID   int
	posts    []time.Time // of the last second
	latePost time.Time   // a POST whose answer was lost is acted on then
	twin     bool        // somebody else's agent holds our name
	twinOn   bool
	proven   bool // the record in the agent's directory proves that it is ours
	occupied bool // another agent was at work in our folder when that was last looked at
	unseen   bool // somebody else's agent holds our name, and no look-up shows it
	young    bool // it is offline, and just starting
	former   int  // the agent of a run that was killed, according to the directory's files
	leftover bool // a previous run left an agent, which is still to be replaced
	lent     int  // the agent that somebody else registered for us
	halfSeen bool // look-ups never show what a listener needs to log on
	rejoins  []time.Time

	alive    bool // the listener's process
	dying    time.Time
	listens  int  // the agent it serves
	job      bool // a job runs in the listener
	over     bool // its steps have ended, and its end is not reported yet
	dyingJob bool // the listener was told to end, and its worker is still there
	logged   bool // the listener's own log can be read
	result   Cut  // what it will say of the last job

	lookAsked time.Time // of a look at the process table that is not answered; zero: there is none
	lookSlow  bool      // it takes long
	slowOnce  bool      // one did

	frozen   bool    // azptend does not run: what happens waits
	thawed   bool    // it was frozen before
	lagged   bool    // the server has said that it does not know the agent, which it has
	waiting  []Event // for it to go on
	told     bool    // its start was told on the socket
	socket   bool
	updating bool
	received int

	insisted      bool
	untold        bool // a job was cut that azptend did not know of
	cutLate       bool // a listener was told to end when no drain budget was left
	interrupts    int  // by a person
	interruptedAt time.Time
	clock         time.Time // the platform's word that counts
	grace         time.Duration
	termed        bool // SIGTERM has come
	tried         bool // to disable the agent
	killSent      bool // to this listener
	stuck         bool // the server would not disable the agent
	cut           bool // we cancelled a job
	stale         bool // a worker was seen a while ago, and nobody says that its job has ended
	unreported    bool // the listener was told to end when a job's steps had: nothing but its log tells the result
	lostJob       bool // the listener died in the middle of one
	sawLost       bool // and azptend knew of that job
	lockSaid      bool // and the server has said that it holds it for running
	named         map[int]bool
	left          *Finish
	seen          map[string]bool // phase × event
	walked        []State
}

type simAgent struct {
	enabled  bool
	assigned bool
}

func newSimulation(t *rapid.T, p Policy, seen map[string]bool) *simulation {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	w := &simulation{
		t: t, now: now, start: now, state: New(p),
		agents: map[int]*simAgent{}, nextID: 7, named: map[int]bool{}, seen: seen,
		twin:     rapid.Bool().Draw(t, "twin"),
		twinOn:   rapid.Bool().Draw(t, "twin online"),
		young:    rapid.Bool().Draw(t, "twin young"),
		proven:   rapid.Bool().Draw(t, "twin proven"),
		unseen:   rapid.IntRange(0, 20).Draw(t, "unseen") == 20,
		halfSeen: rapid.Bool().Draw(t, "half seen"),
		logged:   rapid.Bool().Draw(t, "logged"),
	}
	if !p.RegisterOnly && rapid.IntRange(0, 9).Draw(t, "former") == 9 {
		w.former = w.addAgent()
	}
	w.feed(Begin{PreviousAgentID: w.former})
	return w
}

// feed steps, checks what must hold at every step, and does the actions.
func (w *simulation) feed(e Event) {
	if w.frozen {
		w.waiting = append(w.waiting, e)
		return
	}
	w.step(e, Step)
}

// thaw lets azptend go on: it takes in all that has happened, and then looks at the
// clock.
func (w *simulation) thaw() {
	w.frozen, w.thawed = false, true
	w.stale = w.stale || !w.alive && !w.socket
	for _, e := range w.waiting {
		if w.left == nil {
			w.step(e, Apply)
		}
	}
	w.waiting = nil
	w.feed(Tick{})
}

func (w *simulation) step(e Event, step func(State, Event, time.Time) (State, []Action)) {
	w.seen[string(w.state.Phase)+" × "+reflect.TypeOf(e).Name()] = true
	if _, answers := e.(interface{ Answer() Result }); !answers {
		w.asks = 0
	}
	before := w.state
	if life := before.policy.Limits.Lifetime; life > 0 && !w.thawed && before.Phase != Gone && before.Reason == "" && w.now.After(w.start.Add(life)) {
		w.t.Fatalf("lives on after its lifetime: %+v", before)
	}
	after, actions := step(before, e, w.now)
	w.state = after
	w.walked = append(w.walked, after)
	w.countRejoin(before, after)
	for _, a := range actions {
		w.act(before, a)
	}
	wake := after.NextTick()
	if _, settled := e.(Tick); (settled || len(w.waiting) == 0) && after.Phase != Gone && !wake.IsZero() && !wake.After(w.now) {
		w.t.Fatalf("would wake at once again: %+v", after)
	}
}

func (w *simulation) countRejoin(before, after State) {
	if after.Phase != Registering || before.Phase == Registering || before.Phase == Booting {
		return
	}
	if w.leftover { // the first registration of this run
		w.leftover, w.received = false, 0
		return
	}
	w.rejoins = append(since(w.rejoins, w.now.Add(-reregisterWindow)), w.now)
	if len(w.rejoins) > maxReregistrations {
		w.t.Fatalf("registers anew for the %d. time within an hour", len(w.rejoins))
	}
}

func (w *simulation) act(before State, a Action) {
	switch a := a.(type) {
	case StartCall:
		w.ask(a)
	case AbortCall:
		w.aborted = true
	case InterruptListener:
		w.interrupted()
	case KillListener:
		w.killed()
	case AwaitUpdate:
		w.updating = true
	case ScanForWorker:
		if !w.alive && w.thawed { // its end is not known yet
			return
		}
		if !w.alive {
			w.t.Fatalf("looks for a worker of a listener that is gone")
		}
		w.lookAsked, w.lookSlow = w.now, rapid.IntRange(0, 9).Draw(w.t, "slow look") == 9
		w.slowOnce = w.slowOnce || w.lookSlow
	case ReportLeftover:
		w.named[a.AgentID] = true
	case Finish:
		w.left = &a
	}
}

func (w *simulation) ask(a StartCall) {
	if w.pending != nil {
		w.t.Fatalf("asks to %s while %s is in flight", a.Call, w.pending.Call)
	}
	if !a.Deadline.After(w.now) && !w.thawed {
		w.t.Fatalf("asks to %s with no time to answer", a.Call)
	}
	if w.state.Phase == Stopping {
		w.t.Fatalf("asks to %s while its listener is stopped: the removal would have to wait", a.Call)
	}
	w.judgeAsk(a)
	if a.Call == Launch {
		if w.lent != 0 && w.leftover { // the first listener of this run
			w.leftover, w.received = false, 0
		}
		if w.alive {
			w.t.Fatalf("launches a second listener")
		}
		unheard := w.thawed && len(w.named) > 0 // it was frozen for longer than a lock lasts
		if w.state.policy.Once && w.received > 0 && !unheard {
			w.t.Fatalf("starts a listener again that has had its one job")
		}
	}
	w.pending, w.aborted = &a, false
	w.countAsks()
}

// mostAsks is how many calls can follow from answers alone: of a folder with a dead
// run's agent and a name that another agent has, prepare, remove, register, look up,
// remove conflicting, register, and with that answer lost, look up, launch.
const mostAsks = 8

// countAsks sees a loop that only answers keep up: nothing else happens, and no
// time goes by.
func (w *simulation) countAsks() {
	if !w.now.Equal(w.askedAt) {
		w.askedAt, w.asks = w.now, 0
	}
	if w.asks++; w.asks > mostAsks {
		w.t.Fatalf("asks %d times in an instant", w.asks)
	}
}

// judgeAsk holds what a call must not do besides.
func (w *simulation) judgeAsk(a StartCall) {
	if w.lent != 0 && a.Call != Prepare && a.Call != Launch && a.Call != Inspect {
		w.t.Fatalf("asks to %s although its agent is somebody else's", a.Call)
	}
	switch a.Call {
	case Disable:
		w.tried = true
	case RemoveConflicting:
		if w.twinOn && !w.proven {
			w.t.Fatalf("removes an online agent that nothing proves to be ours")
		}
		if w.young && !w.twinOn && !w.proven {
			w.t.Fatalf("removes an agent that may just be starting, and that nothing proves to be ours")
		}
	case Register:
		if w.state.Reason != "" {
			w.t.Fatalf("registers an agent although it was asked to end")
		}
	case Remove:
		if w.alive && w.dying.IsZero() && !w.tried {
			w.t.Fatalf("removes an agent that may be given a job at the same time")
		}
		if left := w.state.exitDeadline().Sub(w.now); !w.clock.IsZero() && left > 3*minCallTime && a.Deadline.Sub(w.now) > left/2 {
			w.t.Fatalf("one removal may take %v of the %v that are left", a.Deadline.Sub(w.now), left)
		}
	}
}

func (w *simulation) drainLeft() bool {
	return w.clock.IsZero() || w.now.Before(w.clock.Add(SplitGrace(w.grace).Drain))
}

func (w *simulation) interrupted() {
	if !w.alive && w.thawed { // its end is not known yet
		return
	}
	if !w.alive {
		w.t.Fatalf("interrupts a listener that is gone")
	}
	w.dyingJob = w.job && !w.over
	w.stale = !w.job && !w.socket && w.state.session.worker.runs()
	w.cutLate = w.cutLate || !w.drainLeft()
	w.endJob("interrupted")
	w.dying = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(w.t, "seconds to end")) * time.Second)
}

func (w *simulation) killed() {
	w.cutLate = w.cutLate || !w.drainLeft()
	w.stale = w.stale || !w.job && !w.socket && w.state.session.worker.runs()
	w.killSent = true
	if w.updating {
		w.t.Fatalf("kills the update's script: %+v", w.state)
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
	cancels := w.state.policy.CancelOnTerm && w.termed
	// Of an agent that somebody else registered nothing but the process table tells, and
	// what that showed may be from before a freeze.
	unknowable := w.thawed && !(w.socket && w.told) && w.listens == w.lent
	// Nothing shows a job whose steps have ended and that azptend never knew of, if the
	// server does not show the agent either, and cannot be asked to remove it.
	unknowable = unknowable || w.over && w.lagged && !(w.socket && w.told)
	if w.drainLeft() && !w.insisted && !w.stuck && !cancels && !unknowable {
		w.t.Fatalf("a job is %s while drain budget is left (%v of %v)", how, w.now.Sub(w.state.drain.graceStartedAt), w.state.Budget.Drain)
	}
	if w.over && how == "interrupted" { // its result stands
		early := w.now.Before(w.clock.Add(SplitGrace(w.grace).Drain + SplitGrace(w.grace).Stop/2))
		if early && w.told && w.socket && !w.insisted && !w.stuck && !cancels && !w.slowOnce && SplitGrace(w.grace).Stop > 0 {
			w.t.Fatalf("a job whose steps have ended is %s, %v after the platform spoke", how, w.now.Sub(w.clock))
		}
		w.unreported = true
		w.finishJob()
		return
	}
	w.cut, w.result, w.untold = true, SurelyCut, w.untold || !w.told || !w.socket
	w.finishJob()
}

func (w *simulation) finishJob() {
	w.job, w.over = false, false
	if a := w.agents[w.listens]; a != nil {
		a.assigned = false
	}
}

// horizon is how far time may go before something has to happen.
func (w *simulation) horizon() time.Time {
	times := []time.Time{w.dying, w.latePost}
	if !w.frozen {
		times = append(times, w.state.NextTick())
	}
	if !w.lookAsked.IsZero() {
		times = append(times, w.lookAsked.Add(slowLook))
	}
	if w.pending != nil {
		times = append(times, w.pending.Deadline)
	}
	return earliest(times...)
}

// pass lets time go by, and lets happen what is due.
func (w *simulation) pass(d time.Duration) {
	w.showWork()
	to := w.now.Add(d)
	if h := w.horizon(); !h.IsZero() && h.Before(to) {
		to = h
	}
	w.now = to
	w.due()
}

func (w *simulation) due() {
	w.showWork()
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
	w.showWork()
	if !w.frozen && reached(w.state.NextTick(), w.now) {
		w.feed(Tick{})
		w.showWork()
	}
	if w.pending != nil && w.aborted {
		w.answer(false)
	}
}

// slowLook is longer than a look is waited for.
const slowLook = 3 * time.Second

// showWork answers the look that is under way, if its time has come.
func (w *simulation) showWork() {
	for !w.lookAsked.IsZero() && (!w.lookSlow || reached(w.lookAsked.Add(slowLook), w.now)) {
		w.lookAsked = time.Time{}
		w.feed(WorkerScanned{Worker: w.work()})
	}
}

// work is what the process table shows.
func (w *simulation) work() WorkerState {
	switch {
	case w.job && w.over && w.listens == w.lent: // else nothing at all shows it
		return WorkerWithoutSteps
	case w.job && w.over:
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
	if w.job && !w.told && w.socket { // what it has said is read before its end is told
		w.told = true
		w.feed(JobStarted{})
	}
	w.end(e)
}

// end is the listener's end, whatever was known of it.
func (w *simulation) end(e Exit) {
	w.stale = w.stale || !w.job && !w.socket && w.state.session.worker.runs()
	w.alive, w.dying, w.dyingJob, w.lookAsked = false, time.Time{}, false, time.Time{}
	if w.job {
		w.lostJob = true
		w.sawLost = w.sawLost || w.state.Job == RunningJob && !w.frozen && e.Code != 3 && e.Code != 4
		w.job, w.over = false, false // the server keeps it assigned until the lock lapses
	}
	ended := ListenerExited{Exit: e}
	if w.logged {
		ended.Cut = w.result
	}
	w.result = NotCut
	w.feed(ended)
}

// answer answers the call in flight: as the server would (well), or with a
// fault.
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
			w.twin = false
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

// prepare answers Prepare: now and then there is an agent already.
func (w *simulation) prepare(well bool, fault Result) {
	if rapid.IntRange(0, 3).Draw(w.t, "folder") == 3 {
		fault.Outcome = DirInUse
	}
	e := PrepareResult{Result: w.either(well, fault)}
	w.occupied = e.Outcome == DirInUse
	if !well {
		w.feed(e)
		return
	}
	found := rapid.IntRange(0, 5).Draw(w.t, "found")
	if w.former != 0 {
		found = 5
	}
	switch {
	case w.state.policy.RegisterOnly:
	case found == 4:
		w.lent = w.addAgent()
		e.ExternalAgentID, e.Leftover.ListenerRuns = w.lent, rapid.Bool().Draw(w.t, "alive")
		if w.alive = e.Leftover.ListenerRuns; w.alive {
			w.leftover, w.listens = true, w.lent
			w.job = rapid.Bool().Draw(w.t, "with a job")
			w.agents[w.lent].assigned, e.Leftover.WorkerRuns = w.job, w.job
		}
	case found == 5:
		w.leftover = true
		id := w.former
		if id == 0 {
			id = w.addAgent()
		}
		e.Leftover = Leftover{AgentID: id, ListenerRuns: rapid.Bool().Draw(w.t, "alive")}
		if w.alive = e.Leftover.ListenerRuns; w.alive {
			w.listens, w.tried = e.Leftover.AgentID, false
			w.job = rapid.Bool().Draw(w.t, "with a job")
			w.agents[w.listens].assigned, e.Leftover.WorkerRuns = w.job, w.job
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

// countPost sees a loop that never pauses: one POST may meet another agent and be
// repeated as soon as that is removed, and no more.
func (w *simulation) countPost() {
	w.posts = append(since(w.posts, w.now.Add(-time.Second)), w.now)
	if len(w.posts) > 2 {
		w.t.Fatalf("POSTs %d times within a second", len(w.posts))
	}
}

func (w *simulation) post(well bool) RegisterResult {
	w.countPost()
	if len(w.agents) > 0 || w.twin || w.unseen {
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
			HasCredentials: !w.halfSeen && rapid.Bool().Draw(w.t, "complete")}
	}
	if w.twin {
		owner := Foreign
		if w.proven {
			owner = PreviousRun
		}
		return LookUpResult{Result: Result{Outcome: OK}, Owner: owner, AgentID: 3, Online: w.twinOn, RecentlyCreated: w.young && !w.twinOn}
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
			w.lent = w.state.AgentID
		}
		w.feed(LaunchResult{Result{Outcome: OK}})
		return
	}
	w.alive, w.socket, w.told, w.listens = true, true, false, w.state.AgentID
	w.killSent, w.tried = false, false
	w.feed(LaunchResult{Result{Outcome: OK}})
}

func (w *simulation) disable(id int, well bool, fault Result) Result {
	a := w.agents[id]
	switch {
	case !well && rapid.IntRange(0, 5).Draw(w.t, "denied") == 0:
		w.stuck = true
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
	case !well && rapid.IntRange(0, 5).Draw(w.t, "may not look") == 0:
		w.stuck = true
		return InspectResult{Result: Result{Outcome: Denied}, Worker: w.work()}
	case !well && id != w.lent && rapid.IntRange(0, 3).Draw(w.t, "a look that lags") == 0:
		w.lagged = true
		return InspectResult{Result: Result{Outcome: NotFound}, Worker: w.work()}
	case !well:
		return InspectResult{Result: fault, Worker: w.work()}
	case id == w.lent: // only the process table can be asked
		return InspectResult{Result: Result{Outcome: OK}, Worker: w.work()}
	case a == nil:
		return InspectResult{Result: Result{Outcome: NotFound}, Worker: w.work()}
	}
	return InspectResult{Result: Result{Outcome: OK}, Assigned: a.assigned, Worker: w.work()}
}

func (w *simulation) remove(id int, well bool, fault Result) Result {
	a := w.agents[id]
	switch {
	case a == nil && well:
		return Result{Outcome: NotFound}
	case a != nil && a.assigned && well:
		w.lockSaid = w.lostJob
		return Result{Outcome: JobRunning}
	case well:
		delete(w.agents, id)
		return Result{Outcome: OK}
	case rapid.IntRange(0, 3).Draw(w.t, "acted all the same") == 0 && a != nil && !a.assigned:
		delete(w.agents, id)
		return Result{Outcome: AnswerLost}
	case rapid.IntRange(0, 8).Draw(w.t, "refused") == 0:
		return Result{Outcome: Denied}
	}
	return fault
}

// moves are the things that may happen next, by name.
func (w *simulation) moves() map[string]func() {
	m := map[string]func(){
		"time passes":     func() { w.pass(time.Duration(rapid.IntRange(1, 8000).Draw(w.t, "ms")) * time.Millisecond) },
		"next deadline":   func() { w.pass(time.Hour) },
		"SIGTERM":         w.sigterm,
		"SIGINT":          w.sigint,
		"notice":          w.notice,
		"azptend drain":   func() { w.feed(DrainRequested{Reason: "asked"}) },
		"early tick":      func() { w.feed(Tick{}) },
		"minutes go by":   func() { w.pass(5 * time.Minute) },
		"nothing happens": func() {},
	}
	if w.frozen {
		for _, name := range []string{"SIGTERM", "SIGINT", "notice", "azptend drain", "early tick"} {
			delete(m, name) // what comes then is as if it came when azptend goes on
		}
		m["azptend goes on"] = w.thaw
	} else {
		m["azptend is frozen"] = func() { w.frozen = true }
	}
	if w.pending != nil {
		m["answer"] = func() { w.answer(true) }
		m["fault"] = func() { w.answer(false) }
	}
	// A lock takes minutes to lapse. Where nobody was told of it in all that time, nobody knows.
	if a := w.agents[w.listens]; !w.alive && w.lockSaid && a != nil && a.assigned {
		m["the lock lapses"] = func() { a.assigned = false }
	}
	if w.updating {
		m["update settles"] = func() { w.updating = false; w.feed(UpdateEnded{}) }
	}
	if w.alive {
		w.listenerMoves(m)
	}
	return m
}

func (w *simulation) listenerMoves(m map[string]func()) {
	a := w.agents[w.listens]
	dying := !w.dying.IsZero()
	m["session"] = func() { w.feed(SessionReady{}) }
	m["session is held"] = func() { w.feed(SessionConflict{}) }
	m["an hourly list, and its doubt"] = func() { w.feed(AgentMaybeDeleted{}) }
	m["its registration is refused"] = func() { w.feed(AgentMaybeDeleted{LogonRefused: true}) }
	m["exit"] = func() {
		ends := []Exit{{}, {Code: 1}, {Code: 2}, {Code: 3}, {Code: 4}, {Signal: 9}}
		if w.leftover {
			ends = ends[:1] // how another's child ended is not known
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
		m["job starts"] = func() { w.job, w.told, w.result = true, false, NotCut; w.received++ }
	}
	if w.job && !w.told && w.socket {
		m["killed before it could tell"] = func() { w.end(Exit{Signal: 9}) }
		m["start is told"] = func() { w.told = true; w.feed(JobStarted{}) }
	}
	if w.job && !w.over {
		m["steps end"] = func() { w.over = true }
	}
	if w.job && (w.told || !w.socket) {
		m["job finishes"] = func() {
			w.finishJob()
			if w.socket {
				w.feed(JobFinished{})
			}
		}
	}
	if a != nil && !a.assigned {
		m["deleted by a person"] = func() { delete(w.agents, w.listens) }
	}
}

// sigterm is the platform's word.
func (w *simulation) sigterm() {
	w.termed = true
	w.gives(w.state.policy.Grace)
	w.feed(DrainRequested{Reason: "SIGTERM", StartsGrace: true, CancelsJob: true, At: w.now})
}

func (w *simulation) sigint() {
	if w.interrupts == 0 || w.now.Sub(w.interruptedAt) >= secondInterruptAfter {
		w.interrupts, w.interruptedAt = w.interrupts+1, w.now
		w.insisted = w.interrupts > 1
		w.gives(w.state.policy.Grace)
	}
	w.feed(UserInterrupt{At: w.now})
}

// gives is the platform's word: what ends first counts.
func (w *simulation) gives(grace time.Duration) {
	if w.clock.IsZero() || w.now.Add(grace).Before(w.clock.Add(w.grace)) {
		w.clock, w.grace = w.now, grace
	}
}

// notice is the platform's word that says by when it ends.
func (w *simulation) notice() {
	grace := time.Duration(rapid.SampledFrom([]int{1, 4, 30, 900}).Draw(w.t, "notice")) * time.Second
	w.gives(grace)
	w.feed(DrainRequested{Reason: "notice", StartsGrace: true, Grace: grace, At: w.now})
}
