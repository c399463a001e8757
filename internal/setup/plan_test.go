package setup_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func roles() []azdo.Role {
	return []azdo.Role{
		{Name: "Reader", DisplayName: "Reader", Allow: 1}, {Name: "ServiceAccount", DisplayName: "Service Account", Allow: 21},
		{Name: "Administrator", DisplayName: "Administrator", Allow: 27},
	}
}

func drawWanted(t *rapid.T) setup.Spec {
	w := setup.Spec{
		Identity: "11111111-1111-4111-8111-111111111111", Pool: "linux", CreatePool: true,
		NoAutoUpdate: rapid.Bool().Draw(t, "no auto-update"),
		Role:         rapid.SampledFrom([]string{"Administrator", "reader", "Service Account", "serviceaccount"}).Draw(t, "role"),
		Remove:       rapid.Bool().Draw(t, "remove"),
	}
	if rapid.Bool().Draw(t, "with a project") {
		w.Project, w.OpenToAll = "web", rapid.Bool().Draw(t, "open")
	}
	return w
}

// user is the identity as a user of the organisation.
func user(license azdo.License) azdo.Entitlement {
	e := azdo.Entitlement{ID: "key", Principal: azdo.Principal{Name: "robot"}}
	e.AccessLevel.License = license
	return e
}

// drawState draws what can be: nobody has a role who is no user, and nothing is in
// a project that is not there.
func drawState(t *rapid.T, w setup.Spec) setup.State {
	s := setup.State{Caller: azdo.User{ID: "caller"}, Roles: roles(), Project: setup.Project{Project: azdo.Project{ID: "p", Name: "web"}}}
	if w.Project == "" {
		s.Project = setup.Project{}
	}
	if rapid.Bool().Draw(t, "a user") {
		s.User = user(rapid.SampledFrom([]azdo.License{"", azdo.NoLicense, azdo.Stakeholder, azdo.Basic, "advanced"}).Draw(t, "licence"))
	}
	if w.Remove || rapid.Bool().Draw(t, "a pool") { // nothing is taken back where there is no pool: that is an error before
		s.Pool = azdo.Pool{ID: 7, Name: "linux", AutoUpdate: rapid.Bool().Draw(t, "auto-update")}
		role := rapid.SampledFrom(append(roles(), azdo.Role{}))
		if s.User.ID != "" {
			s.Role = setup.RoleState{Assigned: role.Draw(t, "assigned"), Inherited: role.Draw(t, "inherited")}
		}
		if w.Project != "" && rapid.Bool().Draw(t, "in the project") {
			s.Project.Queue, s.Project.Open = 3, rapid.Bool().Draw(t, "opened")
		}
	}
	if w.Remove && s.User.ID != "" && rapid.Bool().Draw(t, "elsewhere") {
		s.OtherUses = []string{"it has another role"}
	}
	return s
}

// after is the service, as far as a plan goes: what a step makes of a state.
func after(t interface{ Fatalf(string, ...any) }, w setup.Spec, s setup.State, step setup.Step) setup.State {
	switch step.Action {
	case setup.AddIdentity:
		s.User = user(azdo.Basic)
	case setup.SetLicense:
		s.User.AccessLevel.License = azdo.Basic
	case setup.MakePool:
		s.Pool = azdo.Pool{ID: 7, Name: "linux", AutoUpdate: true}
	case setup.StopUpdates:
		s.Pool.AutoUpdate = false
	case setup.GiveRole:
		i := slices.IndexFunc(s.Roles, func(r azdo.Role) bool { return r.Is(w.Role) })
		s.Role.Assigned = s.Roles[i]
	case setup.RemoveRole:
		s.Role.Assigned = azdo.Role{}
	case setup.AddToProject:
		s.Project.Queue = 3
	case setup.OpenToAll, setup.CloseToAll:
		s.Project.Open = step.Action == setup.OpenToAll
	case setup.RemoveIdentity:
		s.User, s.Role = azdo.Entitlement{}, setup.RoleState{}
	default:
		t.Fatalf("no step is called %q", step.Action)
	}
	return s
}

// TestPlan: a plan that is applied leaves nothing to do; no step of it touches what
// is right; and whoever is interrupted after any step and runs it again ends the
// same.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWanted(t)
		begin := drawState(t, w)
		plan := setup.MakePlan(w, begin)
		if plan.Obstacle != nil {
			t.Fatalf("an obstacle: %v", plan.Obstacle)
		}
		if again := setup.MakePlan(w, begin); !cmp.Equal(plan.Steps, again.Steps) {
			t.Fatalf("the same state makes another plan: %v, %v", plan.Steps, again.Steps)
		}
		end := begin
		for _, step := range plan.Steps {
			before := end
			if end = after(t, w, before, step); cmp.Equal(before, end) {
				t.Fatalf("step %q touches what is right: %+v", step.What, before)
			}
		}
		if left := setup.MakePlan(w, end); len(left.Steps) != 0 {
			t.Fatalf("applied, and left to do is %v", left.Steps)
		}
		for cut := range plan.Steps {
			s := begin
			for _, step := range plan.Steps[:cut] {
				s = after(t, w, s, step)
			}
			for _, step := range setup.MakePlan(w, s).Steps {
				s = after(t, w, s, step)
			}
			if diff := cmp.Diff(end, s); diff != "" {
				t.Fatalf("interrupted after %d steps it ends otherwise: %s", cut, diff)
			}
		}
		reached(t, w, end)
	})
}

// reached says in its own words what must be true in the end.
func reached(t *rapid.T, w setup.Spec, s setup.State) {
	if w.Remove {
		if s.Role.Assigned.Name != "" || s.User.ID != "" && len(s.OtherUses) == 0 || w.OpenToAll && s.Project.Open {
			t.Fatalf("something stays: %+v", s)
		}
		return
	}
	want := map[string]int{"Administrator": 27, "reader": 1, "Service Account": 21, "serviceaccount": 21}[w.Role]
	has := s.Role.Assigned.Allow&want == want || s.Role.Inherited.Allow&want == want
	if s.User.ID == "" || !s.User.AccessLevel.License.IsEnough() || s.Pool.ID == 0 || !has || w.NoAutoUpdate && s.Pool.AutoUpdate ||
		w.Project != "" && s.Project.Queue == 0 || w.OpenToAll && !s.Project.Open {
		t.Fatalf("something is missing: %+v", s)
	}
}

func TestObstacles(t *testing.T) {
	user := user(azdo.Basic)
	pool := azdo.Pool{ID: 7, Name: "linux"}
	admin := roles()[2]
	for _, c := range []struct {
		name  string
		w     setup.Spec
		s     setup.State
		wants string
		self  bool
	}{
		{"one's own role", setup.Spec{Role: "Administrator"}, setup.State{Caller: azdo.User{ID: "KEY"}, User: user, Pool: pool}, "cannot give the identity the role Administrator: ", true},
		{"one's own role, that one has", setup.Spec{Role: "Administrator"}, setup.State{Caller: azdo.User{ID: "KEY"}, User: user, Pool: pool, Role: setup.RoleState{Inherited: admin}}, "", false},
		{"to take one's own", setup.Spec{Remove: true}, setup.State{Caller: azdo.User{ID: "key"}, User: user, Pool: pool, Role: setup.RoleState{Assigned: admin}}, "cannot remove the role Administrator: ", true},
		{"to remove oneself", setup.Spec{Remove: true}, setup.State{Caller: azdo.User{ID: "key"}, User: user, Pool: pool}, "cannot remove the identity: ", true},
		{"a hosted pool", setup.Spec{Role: "Administrator"}, setup.State{Pool: azdo.Pool{ID: 9, Name: "Azure Pipelines", IsHosted: true}},
			`cannot use pool "Azure Pipelines" (id 9): its agents are hosted by Microsoft`, false},
		{"no such role", setup.Spec{Role: "King"}, setup.State{Pool: pool}, `cannot use --role "King": the roles on a pool are Reader, Service Account, Administrator`, false},
	} {
		c.s.Roles = roles()
		got := setup.MakePlan(c.w, c.s).Obstacle
		if c.wants == "" && got != nil || c.wants != "" && (got == nil || !strings.HasPrefix(got.Error(), c.wants)) || errors.Is(got, setup.ErrSelf) != c.self {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
