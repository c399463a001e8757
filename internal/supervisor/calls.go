package supervisor

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
)

// call makes the function that performs a. What it needs of the runner is read
// here, in the loop; what it learned comes back as a note.
func (r *runner) call(a lifecycle.StartCall) func(context.Context) message {
	switch a.Call {
	case lifecycle.Prepare:
		return r.prepare()
	case lifecycle.Register:
		return r.register()
	case lifecycle.LookUp:
		return r.lookUp()
	case lifecycle.RemoveConflicting:
		r.copyUserCapabilities()
		r.log.Info("Removing an earlier agent of the same name", "agent", r.o.Name, "agent_id", a.AgentID)
		return r.removal(a.AgentID, func(res lifecycle.Result) lifecycle.Event { return lifecycle.RemoveConflictingResult{Result: res} })
	case lifecycle.Launch:
		return r.launch()
	case lifecycle.Disable:
		return r.disable(a.AgentID)
	case lifecycle.Inspect:
		if r.o.Handoff != nil {
			return r.inspectLocally()
		}
		return r.inspect(a.AgentID)
	case lifecycle.Remove:
		return r.removal(a.AgentID, func(res lifecycle.Result) lifecycle.Event { return lifecycle.RemoveResult{Result: res} })
	}
	panic("no such call: " + string(a.Call))
}

func (r *runner) disable(id int) func(context.Context) message {
	poolID := r.agentRef.pool.ID
	return func(ctx context.Context) message {
		return message{event: lifecycle.DisableResult{Result: resultOf(r.o.Server.DisableAgent(ctx, poolID, id))}}
	}
}

func (r *runner) inspect(id int) func(context.Context) message {
	poolID, listener := r.agentRef.pool.ID, r.listener
	return func(ctx context.Context) message {
		e := lifecycle.InspectResult{Result: lifecycle.Result{Outcome: lifecycle.NotFound}}
		if id != 0 {
			a, err := r.o.Server.AgentWithRequest(ctx, poolID, id)
			e = lifecycle.InspectResult{Result: resultOf(err), Assigned: a.AssignedRequest != nil}
		}
		if listener != nil {
			e.Worker = workBy(ctx, listener)
		}
		return message{event: e}
	}
}

// inTime calls a function that touches files until ctx ends.
func inTime(ctx context.Context, f func() error) error {
	_, err := bounded.Call(ctx, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

// workBy is workOf for a caller whose answer others wait for: a job can leave a process
// that hangs whoever looks at it.
func workBy(ctx context.Context, listener Process) lifecycle.WorkerState {
	ctx, done := context.WithTimeout(ctx, workTimeout)
	defer done()
	work, err := bounded.Call(ctx, func() (lifecycle.WorkerState, error) { return workOf(listener), nil }, nil)
	if err != nil {
		return lifecycle.WorkerUnknown
	}
	return work
}

// workTimeout is for a look at the process table, which takes milliseconds.
const workTimeout = 5 * time.Second

// workOf is what the process table shows of a job; nothing where processes cannot be
// listed (macOS).
func workOf(listener Process) lifecycle.WorkerState {
	has, busy, err := listener.HasDescendant(agentdir.WorkerProgram)
	switch {
	case err != nil:
		return lifecycle.WorkerUnknown
	case busy:
		return lifecycle.WorkerWithSteps
	case has:
		return lifecycle.WorkerWithoutSteps
	}
	return lifecycle.NoWorker
}

// lookForWork looks at the process table beside the loop.
func (r *runner) lookForWork() {
	listener := r.listener
	r.goBackground(func(context.Context) {
		r.post(message{from: listener, event: lifecycle.WorkerScanned{Worker: workOf(listener)}})
	})
}

func (r *runner) removal(id int, answer func(lifecycle.Result) lifecycle.Event) func(context.Context) message {
	poolID := r.agentRef.pool.ID
	return func(ctx context.Context) message {
		return message{event: answer(resultOf(r.o.Server.RemoveAgent(ctx, poolID, id)))}
	}
}
