package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/retry"
)

// Progress is something that happened while a plan is applied.
type Progress struct {
	Step    Step
	Done    bool
	Waiting time.Duration // until the step is tried again, because of Cause
	Cause   error
}

// Options are how a plan is applied.
type Options struct {
	// Timeout is how long to wait for an identity that was just created in Entra ID: it
	// takes a minute or two (azure-devops-rest.md 4.1).
	Timeout    time.Duration
	OnProgress func(Progress) // may be nil
}

// Waits between tries: of a step that may succeed later, and of reading back.
const (
	minWait      = 2 * time.Second
	maxWait      = 15 * time.Second
	maxReadBacks = 4
)

// Apply carries out a plan that was made from a state, and reads the result back. It
// returns the state that it read last.
func (p Organization) Apply(ctx context.Context, w Spec, s State, plan Plan, o Options) (State, error) {
	if o.OnProgress == nil {
		o.OnProgress = func(Progress) {}
	}
	if plan.Obstacle != nil {
		return s, plan.Obstacle
	}
	for _, step := range plan.Steps {
		o.OnProgress(Progress{Step: step})
		if err := p.runStep(ctx, w, &s, step, o); err != nil {
			return s, explainStep(step.Action, err)
		}
		o.OnProgress(Progress{Step: step, Done: true})
	}
	if len(plan.Steps) == 0 {
		return s, nil
	}
	return p.confirm(ctx, w)
}

// confirm reads the state until the plan is empty: the service answers 200 even if it gave
// the role to nobody (azure-devops-rest.md 4.3).
func (p Organization) confirm(ctx context.Context, w Spec) (s State, err error) {
	policy := retry.Policy{First: minWait, Max: maxWait, Tries: maxReadBacks, Retryable: func(err error) bool {
		var e *Error
		return errors.As(err, &e) && e.Kind == Unconfirmed
	}}
	err = policy.Do(ctx, func(ctx context.Context) (err error) {
		if s, err = p.Read(ctx, w); err != nil {
			return err
		}
		if left := MakePlan(w, s).Steps; len(left) > 0 {
			return unconfirmed(left)
		}
		return nil
	})
	return s, interrupted(ctx, err)
}

// interrupted returns the context's error instead of the last refusal, if the context
// ended the wait.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p Organization) runStep(ctx context.Context, w Spec, s *State, step Step, o Options) error {
	switch step.Action {
	case AddIdentity:
		return p.addIdentity(ctx, w, s, step, o)
	case SetLicense:
		_, err := p.Users.SetLicense(ctx, s.User.ID, azdo.Basic)
		return err
	case RemoveIdentity:
		return p.Users.RemovePrincipal(ctx, s.User.ID)
	case MakePool:
		made, err := p.Server.AddPool(ctx, w.Pool)
		s.Pool = made
		return err
	case StopUpdates:
		return p.Server.SetAutoUpdate(ctx, s.Pool.ID, false)
	case GiveRole:
		role, err := findRole(w.Role, s.Roles)
		if err != nil {
			return err
		}
		refused := func(err error) bool { return errors.As(err, new(*azdo.RefusedError)) }
		return o.retryStep(ctx, step, min(o.Timeout, roleTimeout), refused, func(ctx context.Context) error {
			return p.Server.AssignRole(ctx, s.Pool.ID, s.User.ID, role.Name)
		})
	case RemoveRole:
		return p.Server.RemoveRole(ctx, s.Pool.ID, s.User.ID)
	case AddToProject:
		return p.addToProject(ctx, s)
	case OpenToAll, CloseToAll:
		return p.Server.SetOpenToAllPipelines(ctx, s.Project.ID, s.Project.Queue, step.Action == OpenToAll)
	}
	return fmt.Errorf("cannot do %q: there is no such step", step.Action)
}

// addToProject adds the pool to the project, unless the creation of the pool did that.
func (p Organization) addToProject(ctx context.Context, s *State) error {
	q, found, err := p.Server.QueueForPool(ctx, s.Project.ID, s.Pool.ID)
	if err == nil && !found {
		q, err = p.Server.AddQueue(ctx, s.Project.ID, s.Pool.Name, s.Pool.ID)
	}
	s.Project.Queue = q.ID
	return err
}

// roleTimeout is how long to try to give a role to an identity that was just added. No
// source says that it may still be unknown, but a role for an unknown identity is dropped
// without an error, and trying again does no harm.
const roleTimeout = 30 * time.Second

// addIdentity tries again while the identity is too new. Another kind of id is refused
// with the same answer, and never accepted.
func (p Organization) addIdentity(ctx context.Context, w Spec, s *State, step Step, o Options) error {
	diagnosed := false
	notReady := func(err error) bool { return azdo.ClassOf(err) == azdo.NotReady }
	return o.retryStep(ctx, step, o.Timeout, notReady, func(ctx context.Context) error {
		e, err := p.Users.AddPrincipal(ctx, w.Identity, azdo.Basic)
		if err == nil {
			s.User = e
			return nil
		}
		if !diagnosed {
			diagnosed = true
			err = p.diagnoseID(ctx, w.Identity, err)
		}
		return err
	})
}

// retryStep tries a step until it succeeds, fails for good, or has had its time.
func (o Options) retryStep(ctx context.Context, step Step, budget time.Duration, retryable func(error) bool, try func(context.Context) error) error {
	policy := retry.Policy{First: minWait, Max: maxWait, Budget: budget, Retryable: retryable, OnRetry: func(err error, pause time.Duration) {
		o.OnProgress(Progress{Step: step, Waiting: pause, Cause: err})
	}}
	return interrupted(ctx, policy.Do(ctx, try))
}

// notAPrincipal is what the service says of an app registration's object id
// (azure-devops-rest.md 4.1).
const notAPrincipal = "failed to create service principal with object id"

// diagnoseID returns an error that says which other id was given, or else the refusal.
func (p Organization) diagnoseID(ctx context.Context, id string, refusal error) error {
	if strings.Contains(strings.ToLower(refusal.Error()), notAPrincipal) {
		return wrongID(id, registrationID, azdo.Principal{})
	}
	if azdo.ClassOf(refusal) != azdo.NotReady {
		return refusal
	}
	found, err := p.Users.SearchDirectory(ctx, id)
	if err != nil {
		return refusal
	}
	for _, other := range found {
		if strings.EqualFold(other.ApplicationID, id) && !strings.EqualFold(other.ObjectID, id) {
			return wrongID(id, applicationID, other)
		}
	}
	return refusal
}
