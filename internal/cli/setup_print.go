package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/setup"
	"github.com/azptend/azptend/internal/term"
)

// setupPrinter prints what setup finds, plans and does: as text, or as one JSON document at the
// end.
type setupPrinter struct {
	p   Process
	s   config.Settings
	f   setupFlags
	out *term.Output

	done int // steps of the plan that were applied
}

func (t *setupPrinter) printPlan(state setup.State, plan setup.Plan) {
	if t.f.asJSON {
		return
	}
	table := term.NewTable(t.out)
	for _, row := range t.facts(state) {
		table.Row(row[:]...)
	}
	_ = table.Flush()
	fmt.Fprintln(t.out)
	for _, note := range plan.Notes {
		fmt.Fprintf(t.out, "note: %s\n", term.Safe(note))
	}
	if len(plan.Steps) == 0 {
		if plan.Obstacle == nil {
			fmt.Fprintln(t.out, "nothing to do")
		}
		return
	}
	fmt.Fprintln(t.out, "the plan:")
	for i, step := range plan.Steps {
		fmt.Fprintf(t.out, "  %d. %s\n", i+1, term.Safe(step.What))
	}
	if !t.f.apply && plan.Obstacle == nil {
		fmt.Fprintln(t.out, "Dry run; use --apply to make these changes")
	}
}

// facts are the state as rows of name and value.
func (t *setupPrinter) facts(s setup.State) [][2]string {
	rows := [][2]string{{"organisation", t.s.URL}, {"by", s.Caller.Name}, {"identity", t.f.spec.Identity}}
	rows = append(append(rows, t.user(s)...), [2]string{"pool", t.pool(s)})
	if s.User.ID != "" && s.Pool.ID != 0 {
		inherited := s.Role.Inherited.String()
		if inherited != "" {
			inherited += ", on all pools"
		}
		rows = append(rows, [2]string{"role", cmp.Or(s.Role.Assigned.String(), inherited, "none")})
	}
	if s.Project.ID != "" {
		rows = append(rows, [2]string{"project", t.project(s)})
	}
	return rows
}

func (t *setupPrinter) user(s setup.State) [][2]string {
	if s.User.ID == "" {
		return [][2]string{{"user", "no: it is not in the organisation"}}
	}
	license := s.User.AccessLevel.License.String()
	if status := s.User.AccessLevel.Status; status != "active" {
		license += " (" + status + ")"
	}
	return [][2]string{
		{"user", fmt.Sprintf("%q, a %s, here %s", s.User.Principal.Name, principalKind(s.User.Principal), s.User.ID)},
		{"application id", s.User.Principal.ApplicationID}, {"licence", license},
	}
}

// principalKind is the usual name of the kind of principal. It is not verified which name the
// service uses (azure-devops-rest.md, "Unverified" g).
func principalKind(p azdo.Principal) string {
	if strings.EqualFold(p.Kind, "managedIdentity") {
		return "managed identity"
	}
	return "service principal"
}

func (t *setupPrinter) pool(s setup.State) string {
	if s.Pool.ID == 0 {
		return fmt.Sprintf("%q, which does not exist", t.f.spec.Pool)
	}
	updates := "updates its agents"
	if !s.Pool.AutoUpdate {
		updates = "does not update its agents"
	}
	return fmt.Sprintf("%q (id %d), which %s", s.Pool.Name, s.Pool.ID, updates)
}

func (t *setupPrinter) project(s setup.State) string {
	switch {
	case s.Project.Queue == 0:
		return fmt.Sprintf("%q, which does not have this pool", s.Project.Name)
	case s.Project.Open:
		return fmt.Sprintf("%q, all of whose pipelines may use it", s.Project.Name)
	}
	return fmt.Sprintf("%q, whose pipelines need permission", s.Project.Name)
}

func (t *setupPrinter) printProgress(p setup.Progress) {
	switch {
	case p.Waiting > 0:
		t.p.note("waiting %v for a new identity: %s", p.Waiting.Round(time.Second), term.Safe(p.Cause.Error()))
	case p.Done:
		t.done++
		if t.f.asJSON {
			t.p.note("done: %s", term.Safe(p.Step.What))
			return
		}
		fmt.Fprintf(t.p.Stdout, "done: %s\n", term.Safe(p.Step.What))
	}
}

// printResult prints what was done and read back, and how to undo it. After an error, the
// document says how many steps were done.
func (t *setupPrinter) printResult(after setup.State, plan setup.Plan, err error) {
	if t.f.asJSON {
		d := t.document(after, plan)
		if d.Applied = err == nil; err != nil {
			d.Error = term.Safe(err.Error())
		} else if !t.f.spec.Remove {
			d.Undo = t.undoCommand()
		}
		_ = term.PrintJSON(t.out, d)
		return
	}
	if err != nil {
		return
	}
	fmt.Fprintf(t.out, "\nverified at %s:\n", time.Now().UTC().Format(time.RFC3339))
	table := term.NewTable(t.out)
	for _, row := range t.facts(after) {
		table.Row(row[:]...)
	}
	if !t.f.spec.Remove {
		table.Row("to undo", t.undoCommand())
	}
	_ = table.Flush()
	for _, step := range plan.Steps {
		if step.Undo != "" {
			fmt.Fprintf(t.out, "not undone: %s\n", step.Undo)
		}
	}
}

// undoCommand is the command that undoes the setup. It contains no secret, because secrets have
// no flags.
func (t *setupPrinter) undoCommand() string {
	words := []string{"azptend setup --remove --apply", "--url", doctor.ShellWord(t.s.URL), "--identity", t.f.spec.Identity}
	if t.s.PoolID != 0 {
		words = append(words, "--pool-id", fmt.Sprint(t.s.PoolID))
	} else {
		words = append(words, "--pool", doctor.ShellWord(t.s.Pool))
	}
	if t.f.spec.Project != "" {
		words = append(words, "--project", doctor.ShellWord(t.f.spec.Project))
		if t.f.spec.OpenToAll {
			words = append(words, "--open-to-all-pipelines")
		}
	}
	return strings.Join(words, " ")
}

type setupDocument struct {
	Organisation string `json:"organisation"` // URL of the organisation
	By           string `json:"by"`           // who runs setup
	Identity     struct {
		ObjectID      string `json:"objectId"`                // object (principal) id
		Member        bool   `json:"member"`                  // whether it is a user of the organisation
		Name          string `json:"name,omitempty"`          // display name
		Kind          string `json:"kind,omitempty"`          // kind of the identity
		ApplicationID string `json:"applicationId,omitempty"` // application (client) id
		StorageKey    string `json:"storageKey,omitempty"`    // id of the user in the organisation
		License       string `json:"licence,omitempty"`       // licence
		Status        string `json:"status,omitempty"`        // status of the licence
	} `json:"identity"` // the identity
	Pool struct {
		ID         int    `json:"id,omitempty"` // id of the pool
		Name       string `json:"name"`         // name of the pool
		AutoUpdate bool   `json:"autoUpdate"`   // whether the pool updates agents
	} `json:"pool"` // the pool
	Role      string       `json:"role,omitempty"`      // role on the pool
	Inherited string       `json:"inherited,omitempty"` // role on all pools
	Project   *projectPart `json:"project,omitempty"`   // the project
	Steps     []setup.Step `json:"steps"`               // the plan
	Done      int          `json:"done"`                // number of steps that were applied
	Applied   bool         `json:"applied"`             // whether all steps were applied and read back
	Notes     []string     `json:"notes,omitempty"`     // what stays as it is, and why
	Obstacle  string       `json:"obstacle,omitempty"`  // why the plan cannot be applied
	Error     string       `json:"error,omitempty"`     // why setup failed
	Undo      string       `json:"undo,omitempty"`      // the command that reverses it
}

type projectPart struct {
	Name  string `json:"name"`               // name of the project
	Queue int    `json:"queue,omitempty"`    // id of the pool's queue in the project
	Open  bool   `json:"openToAllPipelines"` // whether all pipelines may use it
}

func (t *setupPrinter) document(s setup.State, plan setup.Plan) setupDocument {
	d := setupDocument{Organisation: t.s.URL, By: s.Caller.Name, Steps: plan.Steps, Done: t.done, Notes: plan.Notes,
		Role: s.Role.Assigned.String(), Inherited: s.Role.Inherited.String()}
	if d.Steps == nil {
		d.Steps = []setup.Step{}
	}
	d.Identity.ObjectID, d.Identity.Member = t.f.spec.Identity, s.User.ID != ""
	if d.Identity.Member {
		who, level := s.User.Principal, s.User.AccessLevel
		d.Identity.Name, d.Identity.Kind, d.Identity.ApplicationID = who.Name, principalKind(who), who.ApplicationID
		d.Identity.StorageKey, d.Identity.License, d.Identity.Status = s.User.ID, level.License.String(), level.Status
	}
	d.Pool.ID, d.Pool.Name, d.Pool.AutoUpdate = s.Pool.ID, cmp.Or(s.Pool.Name, t.f.spec.Pool), s.Pool.AutoUpdate
	if s.Project.ID != "" {
		d.Project = &projectPart{s.Project.Name, s.Project.Queue, s.Project.Open}
	}
	if plan.Obstacle != nil {
		d.Obstacle = plan.Obstacle.Error()
	}
	return d
}
