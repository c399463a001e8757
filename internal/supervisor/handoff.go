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

// writeHandoff writes the agent's files, and starts nothing.
func (s starter) writeHandoff(ctx context.Context) message {
	return message{event: lifecycle.LaunchResult{Result: resultOf(inTime(ctx, func() error { return s.writeFiles("") }))}}
}

// writeFiles writes the agent's files into its folder; notifications is where its
// listener is to connect.
func (s starter) writeFiles(notifications string) error {
	if s.o.Handoff != nil {
		return s.o.Dir.WriteHandoff(*s.o.Handoff, notifications)
	}
	registration, err := s.registration(notifications)
	if err != nil {
		return err
	}
	return s.o.Dir.WriteFiles(registration, s.key)
}

// prepareHandoff gets ready what an agent needs that somebody else has registered: its
// folder. Nobody is asked about it. A listener that has survived an earlier life in
// the folder serves this very agent: it finishes its job first.
func (r *runner) prepareHandoff(ctx context.Context, p preparation) message {
	err := r.lockAndCheckDir(ctx, &p)
	given := r.o.Handoff.Registration
	left := previousRun{pool: azdo.Pool{ID: given.PoolID, Name: given.PoolName}, agent: azdo.Agent{ID: given.AgentID, Name: given.AgentName}}
	if err == nil {
		err = r.findHandoffListener(ctx, &left)
	}
	return message{
		apply: func(r *runner) {
			r.release = p.release
			if err != nil {
				return
			}
			r.previousUnchecked, r.version = false, p.version
			r.pool = azdo.Pool{ID: given.PoolID, Name: given.PoolName}
			r.agentRef = registrationRef{pool: r.pool, name: given.AgentName}
			r.log.Info("Found an agent that was registered for this azptend", "agent", given.AgentName, "agent_id", given.AgentID,
				"pool", given.PoolName, "folder", r.o.Handoff.Dir.Root, "agent_version", p.version)
			if left.listener != nil {
				r.adoptPrevious(left)
			}
		},
		event: lifecycle.PrepareResult{Result: resultOf(err), ExternalAgentID: given.AgentID,
			Leftover: lifecycle.Leftover{ListenerRuns: left.listener != nil, WorkerRuns: left.working}},
		onDrop: p.releaseLock,
	}
}

// findHandoffListener adopts the listener of an earlier life, or else makes room for
// the agent's files, unless they are in the folder already.
func (r *runner) findHandoffListener(ctx context.Context, left *previousRun) error {
	pids, err := r.findListeners()
	if err == nil && len(pids) == 0 && r.o.Handoff.Dir.Root != r.o.Dir.Root {
		err = r.clearForeignFiles()
	}
	if err != nil {
		return err
	}
	r.adoptListener(ctx, pids, left)
	return nil
}

// jobStartTimeout is how long a job that a listener has received may take to start:
// it renews the job's lock first, up to five times (agent-protocol.md 7.4), and
// starts a worker.
const jobStartTimeout = time.Minute

// inspectLocally is what can be known of an agent without a word to its pool: that
// a worker runs, or that a job was received which has not started yet. A job that
// the server assigns at this very moment cannot be seen; docs/security.md says so.
func (r *runner) inspectLocally() func(context.Context) message {
	listener, perf, started, since := r.listener, r.perf, r.state.Jobs-r.jobsBefore, r.jobPendingSince
	return func(ctx context.Context) message {
		e := lifecycle.InspectResult{Result: lifecycle.Result{Outcome: lifecycle.OK}}
		if listener != nil {
			e.Worker = workBy(ctx, listener)
		}
		if perf == nil { // an earlier life's listener
			return message{event: e}
		}
		if r.events.counts(perf).Jobs <= started {
			return message{event: e, apply: func(r *runner) { r.jobPendingSince = time.Time{} }}
		}
		// A job that was received starts soon, or never: a job can write that counter.
		if since.IsZero() {
			since = time.Now()
		}
		if e.Worker == lifecycle.NoWorker && time.Since(since) < jobStartTimeout {
			e.Worker = lifecycle.WorkerWithoutSteps
		}
		return message{event: e, apply: func(r *runner) { r.jobPendingSince = since }}
	}
}
