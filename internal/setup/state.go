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

// Spec is what a person asked for.
type Spec struct {
	Identity     string // the object id of a managed identity or service principal
	Pool         string
	PoolID       int // 0: look Pool up
	CreatePool   bool
	NoAutoUpdate bool   // the pool is not to ask its agents to update themselves
	Role         string // by its name, in the portal or on the wire
	Project      string // "" for none
	OpenToAll    bool   // to all pipelines of the project
	Remove       bool   // take it back
}

// State is what there is, as far as it matters.
type State struct {
	Caller     string // the storage key of who sets up
	CallerName string // and their name
	User       User
	Pool       Pool
	Roles      []azdo.Role // that there are
	Role       RoleState
	Project    Project
	// OtherUses says what else the identity is for: read where it is to be removed.
	OtherUses []string
}

// User is the identity as a user of the organisation; without a key it is none.
type User struct {
	Key           string // the storage key
	Name          string
	ApplicationID string
	Kind          string
	License       azdo.License
	Status        string // pending until its first use
}

// Pool is the agent pool; without an id there is none.
type Pool struct {
	ID         int
	Name       string
	AutoUpdate bool
	Closed     string // why it cannot hold our agents
}

// RoleState is the identity's role on the pool; one without a name is none.
type RoleState struct{ Assigned, Inherited azdo.Role }

// Project is the pool in the project that was asked for.
type Project struct {
	ID, Name string
	Queue    int // 0: the pool is not in it
	Open     bool
}

// Users are the organisation's, with their licences.
type Users interface {
	FindPrincipal(ctx context.Context, objectID string) (azdo.Principal, bool, error)
	StorageKey(ctx context.Context, descriptor string) (string, error)
	SearchDirectory(ctx context.Context, text string) ([]azdo.Principal, error)
	AddPrincipal(ctx context.Context, objectID string, license azdo.License) (azdo.Entitlement, error)
	Entitlement(ctx context.Context, key string) (azdo.Entitlement, error)
	SetLicense(ctx context.Context, key string, license azdo.License) (azdo.Entitlement, error)
	RemovePrincipal(ctx context.Context, key string) error
}

// Server is the rest: pools, roles and projects.
type Server interface {
	WhoAmI(ctx context.Context) (azdo.User, error)
	Pools(ctx context.Context) ([]azdo.Pool, error)
	PoolByName(ctx context.Context, name string) (azdo.Pool, error)
	PoolByID(ctx context.Context, id int) (azdo.Pool, error)
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

// Read finds out what there is. It changes nothing.
func (p Organization) Read(ctx context.Context, w Spec) (State, error) {
	var s State
	who, err := p.Server.WhoAmI(ctx)
	if err == nil && who.Anonymous() {
		err = &azdo.Error{Op: "set the identity up", Status: http.StatusUnauthorized, Message: "it does not recognise the caller"}
	}
	if err != nil {
		return State{}, err
	}
	s.Caller, s.CallerName = who.ID, who.Name
	if s.Pool, err = p.readPool(ctx, w); err != nil {
		return State{}, err
	}
	if err := p.readDetails(ctx, w, &s); err != nil {
		return State{}, asPermissionError(err)
	}
	return s, nil
}

// readDetails reads what a user of the organisation need not be allowed to.
func (p Organization) readDetails(ctx context.Context, w Spec, s *State) (err error) {
	if s.User, err = p.readUser(ctx, w.Identity); err != nil {
		return err
	}
	if s.Roles, err = p.readRoles(ctx); err != nil {
		return err
	}
	if s.Pool.ID != 0 && s.User.Key != "" {
		if s.Role, err = p.readRole(ctx, s.Pool.ID, s.User.Key); err != nil {
			return err
		}
	}
	if w.Project != "" {
		if s.Project, err = p.readProject(ctx, w.Project, s.Pool.ID); err != nil {
			return err
		}
	}
	if w.Remove && s.User.Key != "" {
		s.OtherUses, err = p.readOtherUses(ctx, *s)
	}
	return err
}

func (p Organization) readPool(ctx context.Context, w Spec) (Pool, error) {
	var found azdo.Pool
	var err error
	if w.PoolID != 0 {
		found, err = p.Server.PoolByID(ctx, w.PoolID)
	} else {
		found, err = p.Server.PoolByName(ctx, w.Pool)
	}
	switch {
	case errors.Is(err, azdo.ErrNoPool) && w.CreatePool:
		return Pool{}, nil
	case errors.Is(err, azdo.ErrNoPool):
		return Pool{}, &NoPoolError{err, w.Remove}
	case err != nil:
		return Pool{}, err
	}
	return poolOf(found), nil
}

func poolOf(p azdo.Pool) Pool {
	return Pool{ID: p.ID, Name: p.Name, AutoUpdate: p.AutoUpdate, Closed: p.ClosedReason()}
}

func (p Organization) readUser(ctx context.Context, objectID string) (User, error) {
	found, is, err := p.Users.FindPrincipal(ctx, objectID)
	switch {
	case err != nil:
		return User{}, err
	case !is && found.ObjectID != "":
		return User{}, &WrongIDError{ID: objectID, Kind: kindApplicationID, Principal: found}
	case !is:
		return User{}, nil
	}
	key, err := p.Users.StorageKey(ctx, found.Descriptor)
	if err != nil {
		return User{}, err
	}
	e, err := p.Users.Entitlement(ctx, key)
	switch {
	case err != nil:
		return User{}, err
	case e.IsRemoved():
		return User{}, nil
	}
	return userOf(e), nil
}

func userOf(e azdo.Entitlement) User {
	return User{Key: e.ID, Name: e.Principal.Name, ApplicationID: e.Principal.ApplicationID, Kind: principalKind(e.Principal),
		License: e.AccessLevel.License, Status: e.AccessLevel.Status}
}

// principalKind is what a person calls it; what the service calls it is not certain
// (azure-devops-rest.md, "Unverified" g).
func principalKind(p azdo.Principal) string {
	if strings.EqualFold(p.Kind, "managedIdentity") {
		return "managed identity"
	}
	return "service principal"
}

// knownRoles are the roles on an organisation's pool, for a service that does not
// list them (azure-devops-rest.md 4.3).
func knownRoles() []azdo.Role {
	return []azdo.Role{
		{Name: "Reader", DisplayName: "Reader", Allow: 1}, {Name: "ServiceAccount", DisplayName: "Service Account", Allow: 21},
		{Name: "Administrator", DisplayName: "Administrator", Allow: 27},
	}
}

func (p Organization) readRoles(ctx context.Context) ([]azdo.Role, error) {
	roles, err := p.Server.PoolRoles(ctx)
	if azdo.Status(err) == http.StatusNotFound || err == nil && len(roles) == 0 {
		return knownRoles(), nil
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
		case a.Inherited():
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
		return Project{}, &NoProjectError{err}
	}
	if err != nil {
		return Project{}, err
	}
	in := Project{ID: found.ID, Name: found.Name}
	if pool == 0 {
		return in, nil
	}
	q, is, err := p.Server.QueueForPool(ctx, found.ID, pool)
	if err != nil || !is {
		return in, err
	}
	in.Queue = q.ID
	in.Open, err = p.Server.OpenToAllPipelines(ctx, found.ID, q.ID)
	return in, err
}

// readOtherUses looks for what would suffer if the identity were no user any more.
func (p Organization) readOtherUses(ctx context.Context, s State) ([]string, error) {
	e, err := p.Users.Entitlement(ctx, s.User.Key)
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
		given, err := p.readRole(ctx, other.ID, s.User.Key)
		if err != nil {
			return nil, err
		}
		if given.Assigned.Name != "" {
			found = append(found, fmt.Sprintf("it has the role %v on pool %q", given.Assigned, other.Name))
		}
	}
	return found, nil
}

// readAllPoolsRole is the identity's role on all pools. A list of one pool's roles need
// not show it, where one is assigned there; and who administers one pool need not
// see the list of all pools' roles.
func (p Organization) readAllPoolsRole(ctx context.Context, s State) (azdo.Role, error) {
	if s.Role.Inherited.Name != "" {
		return s.Role.Inherited, nil
	}
	list, err := p.Server.AllPoolsAssignments(ctx)
	if status := azdo.Status(err); status == http.StatusForbidden || status == http.StatusNotFound {
		return azdo.Role{}, nil
	}
	return roleOf(s.User.Key, list).Assigned, err
}
