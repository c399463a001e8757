package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain asks rapid for more runs than its default of 100: one costs some
// 20 µs, and the rarest cells need many thousands.
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
		RegisterOnly: rapid.IntRange(0, 9).Draw(t, "hand over") == 9,
		JitterSeed:   rapid.SampledFrom([]uint64{0, 1, 0xdecafbad}).Draw(t, "seed"),
		Limits: Limits{
			Idle:     time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 300}).Draw(t, "idle")) * time.Second,
			Lifetime: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 2, 1200}).Draw(t, "lifetime")) * time.Second,
			Jobs:     rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "jobs"),
		},
	}
}

// TestPromises drives Step through random interleavings of signals, job events,
// answers, faults and listener exits, and holds the four promises of the package
// comment. The first three are checked by world as they could break; the rest
// here, at the end of each run.
func TestPromises(t *testing.T) {
	seen, moves := map[string]bool{}, map[phaseChange]bool{}
	rapid.Check(t, func(t *rapid.T) { simulate(t, seen).moved(moves) })
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
		if w.left != nil {
			break
		}
		moves := w.moves()
		var names, rare []string
		for name := range moves {
			rare = append(rare, name)
		}
		slices.Sort(rare)
		// rapid prefers what comes first, so what usually happens does.
		for _, usual := range []string{"answer", "session", "time passes", "job assigned", "job starts", "start is told", "killed before it could tell", "job finishes", "the lock lapses"} {
			if _, can := moves[usual]; can {
				names = append(names, usual, usual, usual)
			}
		}
		names = append(names, rare...)
		moves[rapid.SampledFrom(names).Draw(t, "next")]()
		w.due()
	}
	if w.frozen {
		w.thaw()
		w.due()
	}
	if w.left == nil {
		w.platformEndsIt()
	}
	w.judge()
	return w
}

// platformEndsIt says SIGTERM and lets time run, with a server that answers or
// not.
func (w *simulation) platformEndsIt() {
	w.sigterm()
	dead := rapid.Bool().Draw(w.t, "the server is dead")
	hangs := rapid.Bool().Draw(w.t, "its job never ends")
	for range 2000 {
		if w.left != nil {
			return
		}
		moves := w.moves()
		if answer, can := moves["answer"]; can && !dead {
			answer()
			continue
		}
		for _, progress := range []string{"job starts", "start is told", "job finishes"} {
			if move, can := moves[progress]; can && !hangs {
				move()
			}
		}
		w.pass(time.Hour)
	}
	w.t.Fatalf("does not end: %+v", w.state)
}

func (w *simulation) judge() {
	s := w.state
	if s.Phase != Gone {
		w.t.Fatalf("left in phase %s", s.Phase)
	}
	if late := w.now.Sub(w.clock) - w.grace; !w.clock.IsZero() && late > 0 && !w.thawed {
		w.t.Fatalf("the end came %v after the deadline", late)
	}
	if w.alive && !w.killSent {
		w.t.Fatalf("leaves its listener behind")
	}
	if reached(w.latePost, w.latePost) { // a POST that is still to be acted on
		w.addAgent()
	}
	for id := range w.agents {
		if id != w.lent && !w.named[id] && !w.named[0] {
			w.t.Fatalf("agent %d is a ghost: not removed, not named; state %+v", id, s)
		}
	}
	w.judgeOutcome(w.left.End)
	w.judgeReason(w.left.Reason)
}

// judgeReason holds each reason against what happened: it is given only where it is
// true.
func (w *simulation) judgeReason(why string) {
	s := w.state
	for reason, happened := range map[string]bool{
		budgetSpent.Reason:    w.cutLate,
		notReported.Reason:    w.cutLate,
		notSeen.Reason:        w.cutLate && w.slowOnce,
		onTerm.Reason:         s.policy.CancelOnTerm && w.termed,
		byUser.Reason:         w.insisted,
		agentGone.Reason:      w.cut || w.stale || w.unreported || w.thawed,
		cutByOthers.Reason:    w.untold && w.logged, // else nobody but azptend told this listener
		exitedOKInJob.Reason:  w.lostJob,
		resultNotKnown.Reason: w.lostJob || w.stale,
		notRemoved:            s.policy.StrictRemove && len(w.named) > 0,
		idleTimeoutReached:    s.policy.Limits.Idle > 0,
		lifetimeReached:       s.policy.Limits.Lifetime > 0,
		jobLimitReached:       s.policy.Limits.Jobs > 0,
		cannotCountJobs:       s.policy.Limits.Jobs > 0,
	} {
		if why == reason && !happened {
			w.t.Fatalf("leaves because %q, which is not so", reason)
		}
	}
	if strings.HasPrefix(why, cutByExit) && !w.lostJob {
		w.t.Fatalf("leaves because %q, and no listener died in a job", why)
	}
}

// judgeOutcome holds each outcome against what happened.
func (w *simulation) judgeOutcome(e End) {
	mayHaveCut := w.cut || w.state.session.jobAssigned || w.slowOnce || w.stale || w.unreported
	happened := map[Outcome]bool{
		OK:             !w.sawLost && (!w.cut || w.stuck || w.lostJob || w.slowOnce),
		Unreachable:    true,
		Unclear:        true,
		AnswerLost:     true,
		DirUnusable:    true,
		NameTaken:      w.twin || w.unseen,
		DirInUse:       w.occupied,
		NotRemoved:     w.state.policy.StrictRemove && len(w.named) > 0,
		JobCut:         mayHaveCut || w.lostJob,
		JobCancelled:   w.insisted && mayHaveCut,
		ListenerFailed: slices.Contains([]Exit{{Code: 1}, {Code: 2}, {Code: 3}, {Code: 4}, {Signal: 9}}, e.Exit),
	}
	if !happened[e.Outcome] {
		w.t.Fatalf("ends as %q (%s), which is not so", e.Outcome, e.Reason)
	}
	w.seen["ends as "+string(e.Outcome)] = true
}

// everyCell lists the phases × events that must be reached. An answer comes in
// the phase that asked, or in one that a drain or an end went on to meanwhile.
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

// TestAnyEventAnywhere feeds every event to every state of random runs, the
// impossible ones too: a wrong order may be ignored, but must not panic, ask
// twice or come back from the dead.
func TestAnyEventAnywhere(t *testing.T) {
	events := []Event{
		Begin{}, PrepareResult{}, RegisterResult{}, LookUpResult{}, RemoveConflictingResult{}, LaunchResult{}, DisableResult{}, InspectResult{}, RemoveResult{},
		SessionReady{}, SessionConflict{}, AgentMaybeDeleted{}, AgentMaybeDeleted{LogonRefused: true}, JobStarted{}, JobFinished{}, SocketLost{}, ListenerExited{}, UpdateEnded{},
		WorkerScanned{}, WorkerScanned{Worker: NoWorker}, WorkerScanned{Worker: WorkerWithSteps},
		DrainRequested{StartsGrace: true, CancelsJob: true}, DrainRequested{StartsGrace: true, Grace: time.Second}, UserInterrupt{}, Tick{},
	}
	rapid.Check(t, func(t *rapid.T) {
		w := simulate(t, map[string]bool{})
		if len(w.walked) > 40 {
			w.walked = w.walked[len(w.walked)-40:]
		}
		for _, s := range w.walked {
			for _, e := range events {
				after, actions := Step(s, e, w.now)
				if s.Phase == Gone && (after.Phase != Gone || len(actions) > 0) {
					t.Fatalf("%T wakes the dead: %v", e, actions)
				}
			}
		}
	})
}
