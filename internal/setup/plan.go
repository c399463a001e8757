package setup

import (
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// Action is what a step does.
type Action string

// The actions, in the order of a plan.
const (
	AddIdentity    Action = "add-identity"
	SetLicense     Action = "set-licence"
	MakePool       Action = "make-pool"
	StopUpdates    Action = "stop-updates"
	GiveRole       Action = "give-role"
	AddToProject   Action = "add-to-project"
	OpenToAll      Action = "open-to-all-pipelines"
	CloseToAll     Action = "close-to-all-pipelines"
	RemoveRole     Action = "take-role"
	RemoveIdentity Action = "remove-identity"
)

// Step is one change.
type Step struct {
	Action Action `json:"do"`             // the change
	What   string `json:"what"`           // the change, in a sentence
	Undo   string `json:"undo,omitempty"` // what --remove does not reverse
}

// Plan lists what is missing.
type Plan struct {
	Steps    []Step
	Notes    []string // what stays as it is, and why
	Obstacle error    // why the plan cannot be applied
}

// MakePlan lists what is missing. It is pure: the same state makes the same plan, and the
// state after a plan makes an empty one.
func MakePlan(w Spec, s State) Plan {
	if w.Remove {
		return planRemoval(w, s)
	}
	var p Plan
	add := func(missing bool, do Action, back, format string, args ...any) {
		if missing {
			p.Steps = append(p.Steps, Step{Action: do, What: fmt.Sprintf(format, args...), Undo: back})
		}
	}
	role, err := findRole(w.Role, s.Roles)
	if err != nil {
		p.Obstacle = err
		return p
	}
	if closed := s.Pool.ClosedReason(); closed != "" {
		p.Obstacle = &Error{ClosedPool, fmt.Errorf("cannot use %s: %s", describePool(w, s), closed), "use a self-hosted pool; --create-pool creates one"}
		return p
	}
	add(s.User.ID == "", AddIdentity, "", "add the identity to the organisation, with a Basic licence")
	add(s.User.ID != "" && !s.User.AccessLevel.License.IsEnough(), SetLicense, fmt.Sprintf("its licence was %v", s.User.AccessLevel.License),
		"give the identity a Basic licence in place of %v", s.User.AccessLevel.License)
	add(s.Pool.ID == 0, MakePool, "the pool stays: azptend deletes no pools", "create %s", describePool(w, s))
	add(w.NoAutoUpdate && (s.Pool.ID == 0 || s.Pool.AutoUpdate), StopUpdates, "agents' updates stay off",
		"turn off agent updates in %s", describePool(w, s))
	p.planRole(w, s, role)
	if w.Project != "" {
		add(s.Project.Queue == 0, AddToProject, "the pool stays in the project", "add %s to project %q", describePool(w, s), s.Project.Name)
		add(w.OpenToAll && !s.Project.Open, OpenToAll, "", "open %s to all pipelines of project %q", describePool(w, s), s.Project.Name)
	}
	return p
}

// planRole plans the role, unless the identity has one with the same rights, on this pool or
// on all pools.
func (p *Plan) planRole(w Spec, s State, want azdo.Role) {
	for _, has := range []azdo.Role{s.Role.Assigned, s.Role.Inherited} {
		if has.Name == "" || has.Allow&want.Allow != want.Allow && !has.Is(want.Name) {
			continue
		}
		if !has.Is(want.Name) {
			p.Notes = append(p.Notes, fmt.Sprintf("the identity has the role %v, which includes %v", has, want))
		}
		return
	}
	step := Step{Action: GiveRole, What: fmt.Sprintf("give the identity the role %v on %s", want, describePool(w, s))}
	if had := s.Role.Assigned; had.Name != "" {
		step.What += fmt.Sprintf(" in place of %v", had)
		step.Undo = fmt.Sprintf("its role was %v", had)
	}
	if s.self() {
		p.Obstacle = fmt.Errorf("cannot give the identity the role %v: %w, and nobody can change their own role", want, ErrSelf)
	}
	p.Steps = append(p.Steps, step)
}

// planRemoval plans the removal. The identity stays a user if it is used elsewhere.
func planRemoval(w Spec, s State) Plan {
	var p Plan
	if w.OpenToAll && s.Project.Open {
		p.Steps = append(p.Steps, Step{Action: CloseToAll, What: fmt.Sprintf("close %s to all pipelines of project %q without a permission of their own", describePool(w, s), s.Project.Name)})
	}
	if s.User.ID == "" {
		p.Notes = append(p.Notes, "the identity is not in the organisation")
		return p
	}
	if had := s.Role.Assigned; had.Name != "" {
		p.Steps = append(p.Steps, Step{Action: RemoveRole, What: fmt.Sprintf("remove the role %v on %s from the identity", had, describePool(w, s))})
		if s.self() {
			p.Obstacle = fmt.Errorf("cannot remove the role %v: %w, and nobody can change their own role", had, ErrSelf)
		}
	}
	if len(s.OtherUses) > 0 {
		p.Notes = append(p.Notes, "the identity stays a user of the organisation: "+strings.Join(s.OtherUses, ", "))
		return p
	}
	p.Steps = append(p.Steps, Step{Action: RemoveIdentity, What: "remove the identity from the organisation, which frees its licence and removes it from all groups"})
	if s.self() && p.Obstacle == nil {
		p.Obstacle = fmt.Errorf("cannot remove the identity: %w, and would lock itself out", ErrSelf)
	}
	return p
}

// describePool names the pool in a sentence.
func describePool(w Spec, s State) string {
	switch {
	case s.Pool.ID != 0:
		return fmt.Sprintf("pool %q (id %d)", s.Pool.Name, s.Pool.ID)
	case w.PoolID != 0:
		return fmt.Sprintf("pool %d", w.PoolID)
	}
	return fmt.Sprintf("pool %q", w.Pool)
}

// findRole finds a role by its name, as the portal or the API has it.
func findRole(name string, roles []azdo.Role) (azdo.Role, error) {
	var names []string
	for _, r := range roles {
		if r.Is(name) {
			return r, nil
		}
		names = append(names, r.String())
	}
	return azdo.Role{}, &Error{Kind: InvalidArgument, Cause: fmt.Errorf("cannot use --role %q: the roles on a pool are %s", name, strings.Join(names, ", "))}
}
