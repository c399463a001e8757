package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Progress is something that happened while a plan is applied.
type Progress struct {
	Step Step
	Done bool
	// Waiting is how long it is waited until the step is tried again, for Why.
	Waiting time.Duration
	Why     error
}

// Options are how a plan is applied.
type Options struct {
	// Patience is how long an identity that Entra ID has only just made is waited
	// for: a minute or two (azure-devops-rest.md 4.1).
	Patience time.Duration
	Tell     func(Progress) // nil: nobody
}

// Waits between tries: of a step that may succeed later, and of reading back.
const (
	firstWait   = 2 * time.Second
	longestWait = 15 * time.Second
	readBacks   = 4
)

// Apply does what a plan says, and reads back: what it returns is the state that
// was read last. It begins with the state that the plan was made of.
func (p Place) Apply(ctx context.Context, w Wanted, s State, plan Plan, o Options) (State, error) {
	if o.Tell == nil {
		o.Tell = func(Progress) {}
	}
	if plan.Obstacle != nil {
		return s, plan.Obstacle
	}
	for _, step := range plan.Steps {
		o.Tell(Progress{Step: step})
		if err := p.do(ctx, w, &s, step, o); err != nil {
			return s, &StepError{step, err}
		}
		o.Tell(Progress{Step: step, Done: true})
	}
	if len(plan.Steps) == 0 {
		return s, nil
	}
	return p.confirm(ctx, w)
}

// confirm reads the state until the plan is empty: a role that was given to nobody
// was answered with 200 (azure-devops-rest.md 4.3).
func (p Place) confirm(ctx context.Context, w Wanted) (State, error) {
	wait := firstWait
	for try := 1; ; try++ {
		s, err := p.Read(ctx, w)
		if err != nil {
			return s, err
		}
		left := Make(w, s)
		if len(left.Steps) == 0 {
			return s, nil
		}
		if try == readBacks {
			return s, &NotDoneError{left.Steps}
		}
		if err := pause(ctx, wait); err != nil {
			return s, err
		}
		wait *= 2
	}
}

func (p Place) do(ctx context.Context, w Wanted, s *State, step Step, o Options) error {
	switch step.Do {
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
		role, err := roleNamed(w.Role, s.Roles)
		if err != nil {
			return err
		}
		return patiently(ctx, step, min(o.Patience, roleLag), o.Tell, isRefused, func() error {
			return p.Server.AssignRole(ctx, s.Pool.ID, s.User.Key, role.Name)
		})
	case TakeRole:
		return p.Server.RemoveRole(ctx, s.Pool.ID, s.User.Key)
	case AddToProject:
		q, err := p.addToProject(ctx, w, *s)
		s.Project.Queue = q.ID
		return err
	case OpenToAll, CloseToAll:
		return p.Server.SetOpenToAllPipelines(ctx, s.Project.ID, s.Project.Queue, step.Do == OpenToAll)
	}
	return fmt.Errorf("cannot do %q: no step is called so", step.Do)
}

// addToProject puts the pool into the project, unless making it has done so.
func (p Place) addToProject(ctx context.Context, w Wanted, s State) (azdo.Queue, error) {
	q, found, err := p.Server.QueueForPool(ctx, s.Project.ID, s.Pool.ID)
	if err != nil || found {
		return q, err
	}
	return p.Server.AddQueue(ctx, s.Project.ID, s.Pool.Name, s.Pool.ID)
}

// roleLag is how long an identity that was added a moment ago may be unknown to
// those who give roles. Nobody has said that it can be: but whoever is not known is
// passed over in silence there, and trying again does no harm.
const roleLag = 30 * time.Second

func isRefused(err error) bool { return errors.As(err, new(*azdo.RefusedError)) }

// addIdentity waits through the refusals of an identity that is too young; what
// looks the same and does not pass is another kind of id.
func (p Place) addIdentity(ctx context.Context, w Wanted, s *State, step Step, o Options) error {
	asked := false
	return patiently(ctx, step, o.Patience, o.Tell, azdo.IsNotYet, func() error {
		e, err := p.Users.AddPrincipal(ctx, w.Identity, azdo.Basic)
		if err == nil {
			s.User = userOf(e)
			return nil
		}
		if !asked {
			asked = true
			if wrong := p.wrongID(ctx, w.Identity, err); wrong != nil {
				return wrong
			}
		}
		return err
	})
}

// patiently tries a step until it succeeds, fails for good, or has had its time.
func patiently(ctx context.Context, step Step, patience time.Duration, tell func(Progress), mayPass func(error) bool, try func() error) error {
	wait, waited := firstWait, time.Duration(0)
	for {
		err := try()
		if err == nil || !mayPass(err) || waited >= patience {
			return err
		}
		wait = min(wait, patience-waited)
		tell(Progress{Step: step, Waiting: wait, Why: err})
		if err := pause(ctx, wait); err != nil {
			return err
		}
		waited += wait
		wait = min(2*wait, longestWait)
	}
}

// notAPrincipal is what the service says of an app registration's object id
// (azure-devops-rest.md 4.1).
const notAPrincipal = "failed to create service principal with object id"

// wrongID says which other id was given, nil if none is known to have been.
func (p Place) wrongID(ctx context.Context, id string, refusal error) error {
	if strings.Contains(strings.ToLower(refusal.Error()), notAPrincipal) {
		return &WrongIDError{ID: id, Is: registration}
	}
	if !azdo.IsNotYet(refusal) {
		return nil
	}
	found, err := p.Users.SearchDirectory(ctx, id)
	if err != nil {
		return nil //nolint:nilerr // it was only a guess
	}
	for _, other := range found {
		if strings.EqualFold(other.ApplicationID, id) && !strings.EqualFold(other.ObjectID, id) {
			return &WrongIDError{ID: id, Is: applicationID, Means: other}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
