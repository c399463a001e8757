package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain sets more runs than rapid's default of 100: a run takes some 20 µs, and the
// rarest cells need many thousands.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		Once:         rapid.Bool().Draw(t, "once"),
		Grace:        time.Duration(rapid.SampledFrom([]int{1, 4, 10, 11, 20, 30, 90, 600, 3600}).Draw(t, "grace")) * time.Second,
		NameWait:     time.Duration(rapid.SampledFrom([]int{0, 60, 360}).Draw(t, "name wait")) * time.Second,
		StrictRemove: rapid.Bool().Draw(t, "strict"),
		CancelOnTerm: rapid.IntRange(0, 3).Draw(t, "cancel") == 3,
		RegisterOnly: rapid.IntRange(0, 9).Draw(t, "register only") == 9,
		JitterSeed:   rapid.SampledFrom([]uint64{0, 1, 0xdecafbad}).Draw(t, "seed"),
		Limits: Limits{
			Idle:     time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 300}).Draw(t, "idle")) * time.Second,
			Lifetime: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 2, 1200}).Draw(t, "lifetime")) * time.Second,
			Jobs:     rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "jobs"),
		},
	}
}

// TestDrawPolicy: TestPromises never tests a field that drawPolicy leaves out.
func TestDrawPolicy(t *testing.T) {
	drawn := map[string]bool{}
	for seed := range 500 {
		noteFields(drawn, "", reflect.ValueOf(rapid.Custom(drawPolicy).Example(seed)))
	}
	for field, was := range drawn {
		if !was {
			t.Errorf("drawPolicy never sets %s", field)
		}
	}
}

// noteFields notes which fields of a struct are set, and of the structs in it.
func noteFields(set map[string]bool, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			noteFields(set, name+".", v.Field(i))
			continue
		}
		set[name] = set[name] || !v.Field(i).IsZero()
	}
}

// TestPromises drives Step through random orders of signals, job events, answers,
// faults and listener exits. It checks the four promises of the package comment:
// endJob checks the first, check the others.
func TestPromises(t *testing.T) {
	seen, moves := map[string]bool{}, map[phaseChange]bool{}
	rapid.Check(t, func(t *rapid.T) { simulate(t, seen).phaseChanges(moves) })
	for _, cell := range everyCell() {
		if !seen[cell] {
			t.Errorf("never reached: %s", cell)
		}
	}
	for _, why := range wrongDiagram(diagramArrows(readPage(t)), moves) {
		t.Errorf("docs/how-it-works.md: %s", why)
	}
}

func simulate(t *rapid.T, seen map[string]bool) *simulation {
	w := newSimulation(t, drawPolicy(t), seen)
	for range rapid.SampledFrom([]int{5, 20, 60, 200}).Draw(t, "moves") {
		if w.finish != nil {
			break
		}
		moves := w.moves()
		var names, rare []string
		for name := range moves {
			rare = append(rare, name)
		}
		slices.Sort(rare)
		// rapid prefers what comes first in the list.
		for _, usual := range []string{"answer", "session", "time passes", "job assigned", "job starts", "start is reported", "killed before the start is reported", "job finishes", "lock expires"} {
			if _, can := moves[usual]; can {
				names = append(names, usual, usual, usual)
			}
		}
		names = append(names, rare...)
		moves[rapid.SampledFrom(names).Draw(t, "next")]()
		w.runDue()
	}
	if w.frozen {
		w.thaw()
		w.runDue()
	}
	if w.finish == nil {
		w.endRun()
	}
	w.check()
	return w
}

// endRun sends SIGTERM and lets time pass until the run ends. The server answers or is
// down.
func (w *simulation) endRun() {
	w.sigterm()
	dead := rapid.Bool().Draw(w.t, "the server is down")
	hangs := rapid.Bool().Draw(w.t, "its job never ends")
	for range 2000 {
		if w.finish != nil {
			return
		}
		moves := w.moves()
		if answer, can := moves["answer"]; can && !dead {
			answer()
			continue
		}
		for _, progress := range []string{"job starts", "start is reported", "job finishes"} {
			if move, can := moves[progress]; can && !hangs {
				move()
			}
		}
		w.advance(time.Hour)
	}
	w.t.Fatalf("does not end: %+v", w.state)
}

func (w *simulation) check() {
	s := w.state
	if s.Phase != Gone {
		w.t.Fatalf("the run ends in phase %s", s.Phase)
	}
	if late := w.now.Sub(w.graceStart) - w.grace; !w.graceStart.IsZero() && late > 0 && !w.wasFrozen {
		w.t.Fatalf("the run ends %v after the deadline", late)
	}
	if w.alive && !w.killSent {
		w.t.Fatalf("the listener still runs at the end")
	}
	if reached(w.latePost, w.latePost) { // the server still acts on that POST
		w.addAgent()
	}
	for id := range w.agents {
		if id != w.externalID && !w.reported[id] && !w.reported[0] {
			w.t.Fatalf("agent %d is a ghost: neither removed nor reported; state %+v", id, s)
		}
	}
	w.checkOutcome(w.finish.End)
	w.checkReason(w.finish.Reason)
}

// checkReason checks that the reason of the end is true.
func (w *simulation) checkReason(why string) {
	s := w.state
	for reason, happened := range map[string]bool{
		budgetSpent.Reason:    w.cutAfterDrain,
		notReported.Reason:    w.cutAfterDrain,
		notSeen.Reason:        w.cutAfterDrain && w.scanWasSlow,
		onTerm.Reason:         s.policy.CancelOnTerm && w.sigtermSent,
		byUser.Reason:         w.secondInterrupt,
		agentGone.Reason:      w.cut || w.workerStale || w.resultUnreported || w.wasFrozen,
		cutByOthers.Reason:    w.cutUnreported && w.logReadable, // here nobody but azptend signals the listener
		exitedOKInJob.Reason:  w.lostJob,
		resultNotKnown.Reason: w.lostJob || w.workerStale,
		notRemoved:            s.policy.StrictRemove && len(w.reported) > 0,
		idleTimeoutReached:    s.policy.Limits.Idle > 0,
		lifetimeReached:       s.policy.Limits.Lifetime > 0,
		jobLimitReached:       s.policy.Limits.Jobs > 0,
		cannotCountJobs:       s.policy.Limits.Jobs > 0,
	} {
		if why == reason && !happened {
			w.t.Fatalf("the reason %q is not true", reason)
		}
	}
	if strings.HasPrefix(why, cutByExit) && !w.lostJob {
		w.t.Fatalf("the reason is %q, and no listener exited during a job", why)
	}
}

// checkOutcome checks that the outcome is true.
func (w *simulation) checkOutcome(e End) {
	mayHaveCut := w.cut || w.state.session.jobAssigned || w.scanWasSlow || w.workerStale || w.resultUnreported
	happened := map[Outcome]bool{
		OK:             !w.lostJobKnown && (!w.cut || w.disableDenied || w.lostJob || w.scanWasSlow),
		Unreachable:    true,
		Unclear:        true,
		AnswerLost:     true,
		DirUnusable:    true,
		NameTaken:      w.holder || w.holderHidden,
		DirInUse:       w.dirInUse,
		NotRemoved:     w.state.policy.StrictRemove && len(w.reported) > 0,
		JobCut:         mayHaveCut || w.lostJob,
		JobCancelled:   w.secondInterrupt && mayHaveCut,
		ListenerFailed: slices.Contains([]Exit{{Code: 1}, {Code: 2}, {Code: 3}, {Code: 4}, {Signal: 9}}, e.Exit),
	}
	if !happened[e.Outcome] {
		w.t.Fatalf("the outcome %q (%s) is not true", e.Outcome, e.Reason)
	}
	w.seen["ends as "+string(e.Outcome)] = true
}

// everyCell lists the pairs of phase and event that random runs must reach. An answer
// comes in the phase that started the call, or in a later one.
func everyCell() []string {
	var cells []string
	add := func(event string, phases ...Phase) {
		for _, p := range phases {
			cells = append(cells, fmt.Sprintf("%s × %s", p, event))
		}
	}
	all := []Phase{Booting, Registering, Starting, Idle, Busy, Draining, Removing, Stopping}
	alive := []Phase{Starting, Idle, Busy, Draining, Removing, Stopping}
	add("DrainRequested", all...)
	add("UserInterrupt", all...)
	add("Tick", all...)
	add("Begin", Booting)
	add("PrepareResult", Booting)
	add("RegisterResult", Registering)
	add("LookUpResult", Registering)
	add("RemoveConflictingResult", Registering)
	add("LaunchResult", Starting, Draining)
	add("DisableResult", Busy, Draining, Removing)
	add("InspectResult", Starting, Idle, Busy, Draining)
	add("RemoveResult", Removing)
	add("SessionReady", alive...)
	add("SessionConflict", alive...)
	add("AgentMaybeDeleted", alive...)
	add("JobStarted", Starting, Idle, Draining)
	add("JobFinished", Busy, Draining)
	add("SocketLost", alive...)
	add("WorkerScanned", Draining, Stopping)
	add("ListenerExited", alive...)
	add("UpdateEnded", Starting, Removing, Stopping)
	for _, o := range []Outcome{OK, Unreachable, DirUnusable, NameTaken, DirInUse, NotRemoved, JobCut, JobCancelled, ListenerFailed} {
		cells = append(cells, "ends as "+string(o))
	}
	return cells
}

// TestAnyEventAnywhere applies every event to every state of random runs, also where it
// cannot occur. Step may ignore it, but must not panic or leave the phase Gone.
func TestAnyEventAnywhere(t *testing.T) {
	events := []Event{
		Begin{}, PrepareResult{}, RegisterResult{}, LookUpResult{}, RemoveConflictingResult{}, LaunchResult{}, DisableResult{}, InspectResult{}, RemoveResult{},
		SessionReady{}, SessionConflict{}, AgentMaybeDeleted{}, AgentMaybeDeleted{LogonRefused: true}, JobStarted{}, JobFinished{}, SocketLost{}, ListenerExited{}, UpdateEnded{},
		WorkerScanned{}, WorkerScanned{Worker: NoWorker}, WorkerScanned{Worker: WorkerWithSteps},
		DrainRequested{StartsGrace: true, CancelsJob: true}, DrainRequested{StartsGrace: true, Grace: time.Second}, UserInterrupt{}, Tick{},
	}
	rapid.Check(t, func(t *rapid.T) {
		w := simulate(t, map[string]bool{})
		if len(w.states) > 40 {
			w.states = w.states[len(w.states)-40:]
		}
		for _, s := range w.states {
			for _, e := range events {
				after, actions := Step(s, e, w.now)
				if s.Phase == Gone && (after.Phase != Gone || len(actions) > 0) {
					t.Fatalf("%T is not ignored after the end: %v", e, actions)
				}
			}
		}
	})
}
