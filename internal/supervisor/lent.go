package supervisor

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// This file is about a life in two halves, so that no identity is where jobs run:
// one azptend registers and hands the agent's files over, another runs the agent
// without a word to its pool, and a keeper removes it.

// unknownVersion is what an agent is registered with by an azptend that has no
// listener to ask. It is for information until the listener tells its own with
// its session (agent-protocol.md 2.2).
const unknownVersion = "4.0.0"

// handOver writes the agent's files, and starts nothing.
func (s starter) handOver(context.Context) word {
	return word{event: lifecycle.LaunchResult{Result: resultOf(s.writeFiles(""))}}
}

// writeFiles writes the agent's files into its folder; notifications is where its
// listener is to connect.
func (s starter) writeFiles(notifications string) error {
	if s.o.Given != nil {
		return s.o.Folder.WriteGiven(*s.o.Given, notifications)
	}
	registration, err := s.registration(notifications)
	if err != nil {
		return err
	}
	return s.o.Folder.WriteFiles(registration, s.key)
}

// takeGiven gets ready what an agent needs that somebody else has registered: its
// folder. Nobody is asked about it. A listener that has survived an earlier life in
// the folder serves this very agent: it finishes its job first.
func (r *runner) takeGiven(ctx context.Context, p prepared) word {
	err := r.takeFolder(ctx, &p)
	given := r.o.Given.Registration
	left := leftover{pool: azdo.Pool{ID: given.PoolID, Name: given.PoolName}, agent: azdo.Agent{ID: given.AgentID, Name: given.AgentName}}
	if err == nil {
		err = r.findGivenLeftover(ctx, &left)
	}
	return word{
		note: func(r *runner) {
			r.release = p.release
			if err != nil {
				return
			}
			r.unsettled, r.version = false, p.version
			r.pool = azdo.Pool{ID: given.PoolID, Name: given.PoolName}
			r.seat = seat{pool: r.pool, name: given.AgentName}
			r.log.Info("Found an agent that was registered for this azptend", "agent", given.AgentName, "agent_id", given.AgentID,
				"pool", given.PoolName, "folder", r.o.Given.Folder.Root, "agent_version", p.version)
			if left.listener != nil {
				r.takeOver(left)
			}
		},
		event: lifecycle.PrepareResult{Result: resultOf(err), ExternalAgentID: given.AgentID,
			Leftover: lifecycle.Leftover{ListenerRuns: left.listener != nil, WorkerRuns: left.working}},
		unheard: p.giveBack,
	}
}

// findGivenLeftover adopts the listener of an earlier life, or else makes room for
// the agent's files, unless they are in the folder already.
func (r *runner) findGivenLeftover(ctx context.Context, left *leftover) error {
	pids, err := r.findListeners()
	if err == nil && len(pids) == 0 && r.o.Given.Folder.Root != r.o.Folder.Root {
		err = r.makeRoom()
	}
	if err != nil {
		return err
	}
	r.adopt(ctx, pids, left)
	return nil
}

// startPatience is how long a job that a listener has received may take to start:
// it renews the job's lock first, up to five times (agent-protocol.md 7.4), and
// starts a worker.
const startPatience = time.Minute

// inspectAlone is what can be known of an agent without a word to its pool: that
// a worker runs, or that a job was received which has not started yet. A job that
// the server assigns at this very moment cannot be seen; docs/security.md says so.
func (r *runner) inspectAlone() func(context.Context) word {
	listener, perf, started, since := r.listener, r.perf, r.state.Jobs-r.jobsBefore, r.notStarted
	return func(context.Context) word {
		e := lifecycle.InspectResult{Result: lifecycle.Result{Outcome: lifecycle.OK}}
		if listener != nil {
			e.Worker = workOf(listener)
		}
		if perf == nil { // an earlier life's listener
			return word{event: e}
		}
		if r.ways.counts(perf).Jobs <= started {
			return word{event: e, note: func(r *runner) { r.notStarted = time.Time{} }}
		}
		// A job that was received starts soon, or never: a job can write that counter.
		if since.IsZero() {
			since = time.Now()
		}
		if e.Worker == lifecycle.NoWorker && time.Since(since) < startPatience {
			e.Worker = lifecycle.WorkerWithoutSteps
		}
		return word{event: e, note: func(r *runner) { r.notStarted = since }}
	}
}
