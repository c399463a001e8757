package setup

import (
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// Do is what a step does.
type Do string

// What steps do: the order is that of a plan.
const (
	AddIdentity    Do = "add-identity"
	SetLicense     Do = "set-licence"
	MakePool       Do = "make-pool"
	StopUpdates    Do = "stop-updates"
	GiveRole       Do = "give-role"
	AddToProject   Do = "add-to-project"
	OpenToAll      Do = "open-to-all-pipelines"
	CloseToAll     Do = "close-to-all-pipelines"
	TakeRole       Do = "take-role"
	RemoveIdentity Do = "remove-identity"
)

// Step is one change.
type Step struct {
	Do   Do     `json:"do"`
	What string `json:"what"`
	// Undo says what --remove does not take back by itself; "" where it does.
	Undo string `json:"undo,omitempty"`
}

// Plan is what is missing.
type Plan struct {
	Steps    []Step
	Notes    []string // what is left as it is, and why
	Obstacle error    // why the plan cannot be applied
}

// Make says what is missing. It is pure: the same state makes the same plan, and
// what a plan leads to makes an empty one.
func Make(w Wanted, s State) Plan {
	if w.Remove {
		return undo(w, s)
	}
	var p Plan
	add := func(missing bool, do Do, back, format string, args ...any) {
		if missing {
			p.Steps = append(p.Steps, Step{Do: do, What: fmt.Sprintf(format, args...), Undo: back})
		}
	}
	role, err := roleNamed(w.Role, s.Roles)
	if err != nil {
		p.Obstacle = err
		return p
	}
	if s.Pool.Closed != "" {
		p.Obstacle = &ClosedError{poolName(w, s), s.Pool.Closed}
		return p
	}
	add(s.User.Key == "", AddIdentity, "", "add the identity to the organisation, with a Basic licence")
	add(s.User.Key != "" && !s.User.License.IsEnough(), SetLicense, fmt.Sprintf("its licence was %v", s.User.License),
		"give the identity a Basic licence in place of %v", s.User.License)
	add(s.Pool.ID == 0, MakePool, "the pool stays: azptend deletes no pool", "make %s", poolName(w, s))
	add(w.NoAutoUpdate && (s.Pool.ID == 0 || s.Pool.AutoUpdate), StopUpdates, "agents' updates stay off",
		"keep %s from asking its agents to update themselves", poolName(w, s))
	p.role(w, s, role)
	if w.Project != "" {
		add(s.Project.Queue == 0, AddToProject, "the pool stays in the project", "put %s into project %q", poolName(w, s), s.Project.Name)
		add(w.Open && !s.Project.Open, OpenToAll, "", "open %s to all pipelines of project %q", poolName(w, s), s.Project.Name)
	}
	return p
}

// role plans the role: one that holds what is wanted, or is inherited, is right.
func (p *Plan) role(w Wanted, s State, want azdo.Role) {
	for _, has := range []azdo.Role{s.Role.Assigned, s.Role.Inherited} {
		if has.Name == "" || has.Allow&want.Allow != want.Allow && !has.Is(want.Name) {
			continue
		}
		if !has.Is(want.Name) {
			p.Notes = append(p.Notes, fmt.Sprintf("the identity has the role %v, which holds %v", has, want))
		}
		return
	}
	step := Step{Do: GiveRole, What: fmt.Sprintf("give the identity the role %v on %s", want, poolName(w, s))}
	if had := s.Role.Assigned; had.Name != "" {
		step.What += fmt.Sprintf(" in place of %v", had)
		step.Undo = fmt.Sprintf("its role was %v", had)
	}
	if isSelf(s) {
		p.Obstacle = fmt.Errorf("cannot give the identity the role %v: %w, and nobody can change their own role", want, ErrSelf)
	}
	p.Steps = append(p.Steps, step)
}

// undo plans the way back. What the identity is for elsewhere, it stays a user for.
func undo(w Wanted, s State) Plan {
	var p Plan
	if w.Open && s.Project.Open {
		p.Steps = append(p.Steps, Step{Do: CloseToAll, What: fmt.Sprintf("close %s to the pipelines of project %q that were not let in one by one", poolName(w, s), s.Project.Name)})
	}
	if s.User.Key == "" {
		p.Notes = append(p.Notes, "the identity is no user of the organisation")
		return p
	}
	if had := s.Role.Assigned; had.Name != "" {
		p.Steps = append(p.Steps, Step{Do: TakeRole, What: fmt.Sprintf("take the role %v on %s from the identity", had, poolName(w, s))})
		if isSelf(s) {
			p.Obstacle = fmt.Errorf("cannot take the role %v: %w, and nobody can change their own role", had, ErrSelf)
		}
	}
	if len(s.Elsewhere) > 0 {
		p.Notes = append(p.Notes, "the identity stays a user of the organisation: "+strings.Join(s.Elsewhere, ", "))
		return p
	}
	p.Steps = append(p.Steps, Step{Do: RemoveIdentity, What: "remove the identity from the organisation, which gives its licence back and takes it out of all groups"})
	if isSelf(s) && p.Obstacle == nil {
		p.Obstacle = fmt.Errorf("cannot remove the identity: %w, and would lock itself out", ErrSelf)
	}
	return p
}

func isSelf(s State) bool { return s.User.Key != "" && strings.EqualFold(s.User.Key, s.Caller) }

// poolName names the pool in a sentence.
func poolName(w Wanted, s State) string {
	switch {
	case s.Pool.ID != 0:
		return fmt.Sprintf("pool %q (id %d)", s.Pool.Name, s.Pool.ID)
	case w.PoolID != 0:
		return fmt.Sprintf("pool %d", w.PoolID)
	}
	return fmt.Sprintf("pool %q", w.Pool)
}

// roleNamed finds the role that a person means.
func roleNamed(name string, roles []azdo.Role) (azdo.Role, error) {
	var names []string
	for _, r := range roles {
		if r.Is(name) {
			return r, nil
		}
		names = append(names, r.String())
	}
	return azdo.Role{}, &NoRoleError{Name: name, There: names}
}
