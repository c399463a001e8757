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
	Step Step
	Done bool
	// Waiting is how long it is waited until the step is tried again, for Why.
	Waiting time.Duration
	Cause   error
}

// Options are how a plan is applied.
type Options struct {
	// Timeout is how long an identity that Entra ID has only just made is waited
	// for: a minute or two (azure-devops-rest.md 4.1).
	Timeout    time.Duration
	OnProgress func(Progress) // nil: nobody
}

// Waits between tries: of a step that may succeed later, and of reading back.
const (
	minWait      = 2 * time.Second
	maxWait      = 15 * time.Second
	maxReadBacks = 4
)

// Apply does what a plan says, and reads back: what it returns is the state that
// was read last. It begins with the state that the plan was made of.
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
			return s, &StepError{step, err}
		}
		o.OnProgress(Progress{Step: step, Done: true})
	}
	if len(plan.Steps) == 0 {
		return s, nil
	}
	return p.confirm(ctx, w)
}

// confirm reads the state until the plan is empty: a role that was given to nobody
// was answered with 200 (azure-devops-rest.md 4.3).
func (p Organization) confirm(ctx context.Context, w Spec) (s State, err error) {
	policy := retry.Policy{First: minWait, Max: maxWait, Tries: maxReadBacks, Retryable: func(err error) bool {
		return errors.As(err, new(*UnconfirmedError))
	}}
	err = policy.Do(ctx, func(ctx context.Context) (err error) {
		if s, err = p.Read(ctx, w); err != nil {
			return err
		}
		if left := MakePlan(w, s).Steps; len(left) > 0 {
			return &UnconfirmedError{left}
		}
		return nil
	})
	return s, interrupted(ctx, err)
}

// interrupted is the error of whoever ended the wait, instead of the last refusal.
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
		_, err := p.Users.SetLicense(ctx, s.User.Key, azdo.Basic)
		return err
	case RemoveIdentity:
		return p.Users.RemovePrincipal(ctx, s.User.Key)
	case MakePool:
		made, err := p.Server.AddPool(ctx, w.Pool)
		s.Pool = poolOf(made)
		return err
	case StopUpdates:
		return p.Server.SetAutoUpdate(ctx, s.Pool.ID, false)
	case GiveRole:
		role, err := findRole(w.Role, s.Roles)
		if err != nil {
			return err
		}
		return o.retryStep(ctx, step, min(o.Timeout, roleTimeout), isRefusedError, func(ctx context.Context) error {
			return p.Server.AssignRole(ctx, s.Pool.ID, s.User.Key, role.Name)
		})
	case RemoveRole:
		return p.Server.RemoveRole(ctx, s.Pool.ID, s.User.Key)
	case AddToProject:
		q, err := p.addToProject(ctx, *s)
		s.Project.Queue = q.ID
		return err
	case OpenToAll, CloseToAll:
		return p.Server.SetOpenToAllPipelines(ctx, s.Project.ID, s.Project.Queue, step.Action == OpenToAll)
	}
	return fmt.Errorf("cannot do %q: there is no such step", step.Action)
}

// addToProject puts the pool into the project, unless making it has done so.
func (p Organization) addToProject(ctx context.Context, s State) (azdo.Queue, error) {
	q, found, err := p.Server.QueueForPool(ctx, s.Project.ID, s.Pool.ID)
	if err != nil || found {
		return q, err
	}
	return p.Server.AddQueue(ctx, s.Project.ID, s.Pool.Name, s.Pool.ID)
}

// roleTimeout is how long an identity that was added a moment ago may be unknown to
// those who give roles. Nobody has said that it can be: but whoever is not known is
// passed over in silence there, and trying again does no harm.
const roleTimeout = 30 * time.Second

func isRefusedError(err error) bool { return errors.As(err, new(*azdo.RefusedError)) }

func isNotReady(err error) bool { return azdo.ClassOf(err) == azdo.NotReady }

// addIdentity waits through the refusals of an identity that is too young; what
// looks the same and does not pass is another kind of id.
func (p Organization) addIdentity(ctx context.Context, w Spec, s *State, step Step, o Options) error {
	asked := false
	return o.retryStep(ctx, step, o.Timeout, isNotReady, func(ctx context.Context) error {
		e, err := p.Users.AddPrincipal(ctx, w.Identity, azdo.Basic)
		if err == nil {
			s.User = userOf(e)
			return nil
		}
		if !asked {
			asked = true
			if wrong := p.diagnoseID(ctx, w.Identity, err); wrong != nil {
				return wrong
			}
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

// diagnoseID says which other id was given, nil if none is known to have been.
func (p Organization) diagnoseID(ctx context.Context, id string, refusal error) error {
	if strings.Contains(strings.ToLower(refusal.Error()), notAPrincipal) {
		return &WrongIDError{ID: id, Kind: kindRegistrationID}
	}
	if azdo.ClassOf(refusal) != azdo.NotReady {
		return nil
	}
	found, err := p.Users.SearchDirectory(ctx, id)
	if err != nil {
		return nil //nolint:nilerr // it was only a guess
	}
	for _, other := range found {
		if strings.EqualFold(other.ApplicationID, id) && !strings.EqualFold(other.ObjectID, id) {
			return &WrongIDError{ID: id, Kind: kindApplicationID, Principal: other}
		}
	}
	return nil
}
