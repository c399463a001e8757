package supervisor

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
)

// startCall makes a call in the background. It reads the runner's fields here, in the
// loop. The result comes back as a message.
func (r *runner) startCall(a lifecycle.StartCall) {
	server, poolID, id := r.o.Server, r.agentRef.pool.ID, a.AgentID
	var call func(context.Context) message
	switch a.Call {
	case lifecycle.Prepare:
		prepare, p := r.prepareNew, preparation{release: r.release} // locked by an earlier try, or nil
		if r.o.Handoff != nil {
			prepare = r.prepareHandoff
		}
		call = func(ctx context.Context) message { return prepare(ctx, p) }
	case lifecycle.Register:
		call = r.register()
	case lifecycle.LookUp:
		call = r.lookUp()
	case lifecycle.RemoveConflicting:
		r.copyUserCapabilities()
		r.log.Info("Removing an earlier agent of the same name", "agent", r.o.Name, "agent_id", id)
		call = func(ctx context.Context) message {
			return message{event: lifecycle.RemoveConflictingResult{Result: resultOf(server.RemoveAgent(ctx, poolID, id))}}
		}
	case lifecycle.Launch:
		call = r.launch()
	case lifecycle.Disable:
		call = func(ctx context.Context) message {
			return message{event: lifecycle.DisableResult{Result: resultOf(server.SetEnabled(ctx, poolID, id, false))}}
		}
	case lifecycle.Inspect:
		if call = r.inspect(id); r.o.Handoff != nil {
			call = r.inspectLocally()
		}
	case lifecycle.Remove:
		call = func(ctx context.Context) message {
			return message{event: lifecycle.RemoveResult{Result: resultOf(server.RemoveAgent(ctx, poolID, id))}}
		}
	default:
		panic("no such call: " + string(a.Call))
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	r.cancelCall = cancel
	r.background.Go(func() {
		defer cancel(nil)
		ctx, done := context.WithDeadlineCause(ctx, a.Deadline, errAborted)
		defer done()
		r.post(call(ctx))
	})
}

// inspect asks the server for the agent's assigned request, and looks for a worker.
func (r *runner) inspect(id int) func(context.Context) message {
	poolID, listener := r.agentRef.pool.ID, r.listener
	return func(ctx context.Context) message {
		e := lifecycle.InspectResult{Result: lifecycle.Result{Outcome: lifecycle.NotFound}}
		if id != 0 {
			a, err := r.o.Server.AgentByID(ctx, poolID, id, azdo.Include{AssignedRequest: true})
			e = lifecycle.InspectResult{Result: resultOf(err), Assigned: a.AssignedRequest != nil}
		}
		if listener != nil {
			e.Worker = workerOf(ctx, listener)
		}
		return message{event: e}
	}
}

// jobStartTimeout is how long a job that a listener has received may take to start. The
// listener first renews the job's lock, up to five times (agent-protocol.md 7.4), and
// starts a worker.
const jobStartTimeout = time.Minute

// inspectLocally inspects an agent without asking the server. It finds a worker that
// runs, or a job that was received and has not started. A job that the server assigns at
// this moment is not visible; docs/security.md says so.
func (r *runner) inspectLocally() func(context.Context) message {
	listener, started, jobs, since := r.listener, r.started, r.state.Jobs-r.jobsBefore, r.jobPendingSince
	return func(ctx context.Context) message {
		e := lifecycle.InspectResult{Result: lifecycle.Result{Outcome: lifecycle.OK}}
		if listener != nil {
			e.Worker = workerOf(ctx, listener)
		}
		if started == nil { // a listener of a previous run
			return message{event: e}
		}
		if started.Perf.Counts().Jobs <= jobs {
			return message{event: e, apply: func(r *runner) { r.jobPendingSince = time.Time{} }}
		}
		// Do not wait longer than jobStartTimeout: a job can increase that counter.
		if since.IsZero() {
			since = time.Now()
		}
		if e.Worker == lifecycle.NoWorker && time.Since(since) < jobStartTimeout {
			e.Worker = lifecycle.WorkerWithoutSteps
		}
		return message{event: e, apply: func(r *runner) { r.jobPendingSince = since }}
	}
}

// workerTimeout bounds a scan of the process table, which usually takes milliseconds. A
// job can leave a process that makes reading about it in /proc hang.
const workerTimeout = 5 * time.Second

// workerOf is what the process table shows about a job; WorkerUnknown if processes cannot
// be listed (macOS) or the scan times out.
func workerOf(ctx context.Context, listener mslistener.Process) lifecycle.WorkerState {
	ctx, done := context.WithTimeout(ctx, workerTimeout)
	defer done()
	state, err := bounded.Call(ctx, func() (lifecycle.WorkerState, error) {
		has, busy, err := listener.HasDescendant(mslistener.WorkerProgram)
		switch {
		case busy:
			return lifecycle.WorkerWithSteps, err
		case has:
			return lifecycle.WorkerWithoutSteps, err
		}
		return lifecycle.NoWorker, err
	}, nil)
	if err != nil {
		return lifecycle.WorkerUnknown
	}
	return state
}

// scanForWorker scans the process table in the background.
func (r *runner) scanForWorker() {
	listener := r.listener
	r.goBackground(func(ctx context.Context) {
		r.post(message{from: listener, event: lifecycle.WorkerScanned{Worker: workerOf(ctx, listener)}})
	})
}
