// Package setup configures Azure DevOps for an agent's identity. It adds the identity to
// the organisation with a Basic licence and gives it a role on the agent pool. On request
// it creates the pool and opens it to a project's pipelines.
//
// Setup is a plan that can be applied. [Organization.Read] reads the state, [MakePlan] is
// pure and lists what is missing, and [Organization.Apply] does it step by step and reads
// the result back: the service answers 200 to requests that it did not carry out. No step
// changes what is already right, so an interrupted setup can be run again.
//
// The order and its traps: azure-devops-rest.md 4.
package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// Spec is what a setup is asked to do.
type Spec struct {
	Identity     string // the object id of a managed identity or service principal
	Pool         string
	PoolID       int // 0: look Pool up
	CreatePool   bool
	NoAutoUpdate bool   // turn off agent updates in the pool
	Role         string // its name in the portal or in the API
	Project      string // "": none
	OpenToAll    bool   // open the pool to all pipelines of the project
	Remove       bool   // undo the setup
}

// State is what the organisation has, as far as a setup needs to know.
type State struct {
	Caller    azdo.User        // runs the setup
	User      azdo.Entitlement // the identity; without an ID it is not in the organisation
	Pool      azdo.Pool        // without an ID it does not exist
	Roles     []azdo.Role      // the roles that a pool can have
	Role      RoleState
	Project   Project
	OtherUses []string // of the identity; read before it is removed
}

// self says that the identity is the caller's own.
func (s State) self() bool {
	return s.User.ID != "" && strings.EqualFold(s.User.ID, s.Caller.ID)
}

// RoleState is the identity's role on the pool; without a name there is none.
type RoleState struct{ Assigned, Inherited azdo.Role }

// Project is the project that the pool is added to.
type Project struct {
	azdo.Project
	Queue int // 0: the pool is not in it
	Open  bool
}

// Users are the organisation's users and their licences.
type Users interface {
	FindPrincipal(ctx context.Context, objectID string) (azdo.Principal, bool, error)
	StorageKey(ctx context.Context, descriptor string) (string, error)
	SearchDirectory(ctx context.Context, text string) ([]azdo.Principal, error)
	AddPrincipal(ctx context.Context, objectID string, license azdo.License) (azdo.Entitlement, error)
	Entitlement(ctx context.Context, key string) (azdo.Entitlement, error)
	SetLicense(ctx context.Context, key string, license azdo.License) (azdo.Entitlement, error)
	RemovePrincipal(ctx context.Context, key string) error
}

// Server has pools, roles and projects.
type Server interface {
	WhoAmI(ctx context.Context) (azdo.User, error)
	Pools(ctx context.Context) ([]azdo.Pool, error)
	FindPool(ctx context.Context, ref azdo.PoolRef) (azdo.Pool, error)
	AddPool(ctx context.Context, name string) (azdo.Pool, error)
	SetAutoUpdate(ctx context.Context, pool int, on bool) error
	PoolRoles(ctx context.Context) ([]azdo.Role, error)
	RoleAssignments(ctx context.Context, pool int) ([]azdo.RoleAssignment, error)
	AllPoolsAssignments(ctx context.Context) ([]azdo.RoleAssignment, error)
	AssignRole(ctx context.Context, pool int, key, role string) error
	RemoveRole(ctx context.Context, pool int, key string) error
	ProjectByName(ctx context.Context, name string) (azdo.Project, error)
	QueueForPool(ctx context.Context, project string, pool int) (azdo.Queue, bool, error)
	AddQueue(ctx context.Context, project, name string, pool int) (azdo.Queue, error)
	OpenToAllPipelines(ctx context.Context, project string, queue int) (bool, error)
	SetOpenToAllPipelines(ctx context.Context, project string, queue int, open bool) error
}

// Organization is the organisation that is set up.
type Organization struct {
	Users  Users
	Server Server
}

// Read reads the state. It changes nothing.
func (p Organization) Read(ctx context.Context, w Spec) (State, error) {
	var s State
	who, err := p.Server.WhoAmI(ctx)
	if err == nil && who.Anonymous() {
		err = &azdo.Error{Op: "set the identity up", Status: http.StatusUnauthorized, Message: "it does not recognise the caller"}
	}
	if err != nil {
		return State{}, err
	}
	s.Caller = who
	if s.Pool, err = p.readPool(ctx, w); err != nil {
		return State{}, err
	}
	if err := p.readDetails(ctx, w, &s); err != nil {
		return State{}, explainRead(err)
	}
	return s, nil
}

// readDetails reads what a user of the organisation may lack the permission for.
func (p Organization) readDetails(ctx context.Context, w Spec, s *State) (err error) {
	if s.User, err = p.readUser(ctx, w.Identity); err != nil {
		return err
	}
	if s.Roles, err = p.readRoles(ctx); err != nil {
		return err
	}
	if s.Pool.ID != 0 && s.User.ID != "" {
		if s.Role, err = p.readRole(ctx, s.Pool.ID, s.User.ID); err != nil {
			return err
		}
	}
	if w.Project != "" {
		if s.Project, err = p.readProject(ctx, w.Project, s.Pool.ID); err != nil {
			return err
		}
	}
	if w.Remove && s.User.ID != "" {
		s.OtherUses, err = p.readOtherUses(ctx, *s)
	}
	return err
}

func (p Organization) readPool(ctx context.Context, w Spec) (azdo.Pool, error) {
	found, err := p.Server.FindPool(ctx, azdo.PoolRef{ID: w.PoolID, Name: w.Pool})
	switch {
	case !errors.Is(err, azdo.ErrNoPool):
		return found, err
	case w.CreatePool:
		return azdo.Pool{}, nil
	case w.Remove:
		return azdo.Pool{}, &Error{Cause: err, Advice: "check its name; if the pool was deleted, its roles are gone too: " +
			"name another pool, and setup removes the identity unless it is used elsewhere"}
	}
	return azdo.Pool{}, &Error{Cause: err, Advice: "use --create-pool to create it; if it exists, you need its Administrator role"}
}

func (p Organization) readUser(ctx context.Context, objectID string) (azdo.Entitlement, error) {
	var none azdo.Entitlement
	found, is, err := p.Users.FindPrincipal(ctx, objectID)
	switch {
	case err != nil:
		return none, err
	case !is && found.ObjectID != "":
		return none, wrongID(objectID, applicationID, found)
	case !is:
		return none, nil
	}
	key, err := p.Users.StorageKey(ctx, found.Descriptor)
	if err != nil {
		return none, err
	}
	e, err := p.Users.Entitlement(ctx, key)
	if err != nil || e.IsRemoved() {
		return none, err
	}
	return e, nil
}

func (p Organization) readRoles(ctx context.Context) ([]azdo.Role, error) {
	roles, err := p.Server.PoolRoles(ctx)
	if azdo.Status(err) == http.StatusNotFound || err == nil && len(roles) == 0 {
		// The service does not list them (azure-devops-rest.md 4.3).
		return []azdo.Role{
			{Name: "Reader", DisplayName: "Reader", Allow: 1}, {Name: "ServiceAccount", DisplayName: "Service Account", Allow: 21},
			{Name: "Administrator", DisplayName: "Administrator", Allow: 27},
		}, nil
	}
	return roles, err
}

func (p Organization) readRole(ctx context.Context, pool int, key string) (RoleState, error) {
	list, err := p.Server.RoleAssignments(ctx, pool)
	return roleOf(key, list), err
}

func roleOf(key string, list []azdo.RoleAssignment) RoleState {
	var g RoleState
	for _, a := range list {
		switch {
		case !strings.EqualFold(a.Identity.ID, key):
		case strings.EqualFold(a.Access, "inherited"):
			g.Inherited = a.Role
		default:
			g.Assigned = a.Role
		}
	}
	return g
}

func (p Organization) readProject(ctx context.Context, name string, pool int) (Project, error) {
	found, err := p.Server.ProjectByName(ctx, name)
	if azdo.Status(err) == http.StatusNotFound {
		err = &Error{NoProject, err, "check --project, and that you can see the project"}
	}
	in := Project{Project: found}
	if err != nil || pool == 0 {
		return in, err
	}
	q, is, err := p.Server.QueueForPool(ctx, found.ID, pool)
	if err != nil || !is {
		return in, err
	}
	in.Queue = q.ID
	in.Open, err = p.Server.OpenToAllPipelines(ctx, found.ID, q.ID)
	return in, err
}

// readOtherUses finds what else the identity is used for in the organisation.
func (p Organization) readOtherUses(ctx context.Context, s State) ([]string, error) {
	e, err := p.Users.Entitlement(ctx, s.User.ID)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, in := range e.Projects {
		found = append(found, fmt.Sprintf("it was added to project %q", cmp.Or(in.Project.Name, in.Project.ID)))
	}
	onAll, err := p.readAllPoolsRole(ctx, s)
	if err != nil {
		return nil, err
	}
	if onAll.Name != "" {
		return append(found, fmt.Sprintf("it has the role %v on all pools", onAll)), nil
	}
	pools, err := p.Server.Pools(ctx)
	if err != nil {
		return nil, err
	}
	for _, other := range pools {
		if other.ID == s.Pool.ID {
			continue
		}
		given, err := p.readRole(ctx, other.ID, s.User.ID)
		if err != nil {
			return nil, err
		}
		if given.Assigned.Name != "" {
			found = append(found, fmt.Sprintf("it has the role %v on pool %q", given.Assigned, other.Name))
		}
	}
	return found, nil
}

// readAllPoolsRole reads the identity's role on all pools. The list of one pool's roles may
// not show it, and the administrator of one pool may not see the list of all pools' roles.
func (p Organization) readAllPoolsRole(ctx context.Context, s State) (azdo.Role, error) {
	if s.Role.Inherited.Name != "" {
		return s.Role.Inherited, nil
	}
	list, err := p.Server.AllPoolsAssignments(ctx)
	if status := azdo.Status(err); status == http.StatusForbidden || status == http.StatusNotFound {
		return azdo.Role{}, nil
	}
	return roleOf(s.User.ID, list).Assigned, err
}
