package emulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The roles on a pool, and the key in Identity.Roles that stands for every pool (azure-devops-rest.md 4.3).
const (
	RoleReader         = "Reader"
	RoleServiceAccount = "Service Account"
	RoleAdministrator  = "Administrator"
	RoleUser           = "User" // only on a pool in a project
	AllPools           = "*"
)

// The kinds of identities.
const (
	KindManagedIdentity  = "managedIdentity"
	KindServicePrincipal = "servicePrincipal"
	KindUser             = "user"
)

// Identity is an Entra identity: what the organisation knows of it, and whether the machine has it.
type Identity struct {
	ObjectID string `json:"objectId"`
	// ApplicationObjectID is the app registration's object id, which people take for the one above.
	ApplicationObjectID string `json:"applicationObjectId,omitempty"`
	Name                string `json:"name,omitempty"`
	Kind                string `json:"kind,omitempty"`     // default managedIdentity
	ClientID            string `json:"clientId,omitempty"` // made up when empty
	// ResourceID is a managed identity's Azure resource id, made up when empty.
	ResourceID string `json:"resourceId,omitempty"`
	// Tenant is where its tokens come from; default the organisation's own.
	Tenant string `json:"tenant,omitempty"`

	// Member: the organisation knows it. Without it every call answers 401 TF401444.
	Member bool `json:"member"`
	// Refused: the organisation knows it and refuses it all the same: 401 TF400813.
	Refused bool   `json:"refused,omitempty"`
	License string `json:"license,omitempty"` // express, stakeholder, none: kept, without effect on pools
	// ConditionalAccess is where a policy keeps it out: "", PolicyAtService or PolicyAtEntra.
	ConditionalAccess string `json:"conditionalAccess,omitempty"`
	// Admin: a project collection administrator, who alone manages users.
	Admin bool `json:"admin,omitempty"`
	// Fresh is how many more times adding it to the organisation fails, because Entra ID has only just made it.
	Fresh int `json:"fresh,omitempty"`
	// Roles by pool name, or AllPools.
	Roles map[string]string `json:"roles,omitempty"`

	// Attached: the identity endpoint hands out tokens for it. SystemAssigned: those without a selector too.
	Attached       bool `json:"attached,omitempty"`
	SystemAssigned bool `json:"systemAssigned,omitempty"`
	// ExpiresForm is how App Service writes expires_on for it: "", or one of the Expires constants.
	ExpiresForm string `json:"expiresForm,omitempty"`

	// What it proves itself with to Entra ID: a client secret, a certificate (PEM), or a workload's projected token
	// with this subject, see ProjectedToken.
	Secret      string `json:"secret,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Subject     string `json:"subject,omitempty"`

	// TokenLife of its tokens; default 24 h, from Entra ID itself 1 h. In JSON a duration such as "1h".
	TokenLife time.Duration `json:"-"`
}

type identityAlias Identity

type identityWire struct {
	identityAlias
	TokenLife string `json:"tokenLife,omitempty"`
}

// MarshalJSON writes TokenLife as "1h0m0s".
func (i Identity) MarshalJSON() ([]byte, error) {
	return json.Marshal(identityWire{identityAlias(i), durationText(i.TokenLife)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (i *Identity) UnmarshalJSON(b []byte) error {
	w := identityWire{identityAlias: identityAlias(*i)}
	if err := strictJSON(b, &w); err != nil {
		return err
	}
	life, err := parseDuration("tokenLife", w.TokenLife)
	if err != nil {
		return err
	}
	*i = Identity(w.identityAlias)
	i.TokenLife = life
	return nil
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func parseDuration(name, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("cannot read %s %q: it is no duration such as \"80ms\"", name, s)
	}
	return d, nil
}

// PAT is a personal access token.
type PAT struct {
	Token   string    `json:"token"` // made up when empty
	Name    string    `json:"name,omitempty"`
	Owner   string    `json:"owner,omitempty"`     // object id of an identity; default a member with Roles
	Scopes  []string  `json:"scopes,omitempty"`    // vso.agentpools, vso.agentpools_manage; empty: full access
	Expires time.Time `json:"expires,omitzero"`    // zero: never
	Revoked bool      `json:"revoked,omitempty"`   // as if it had never been
	Roles   Roles     `json:"ownerRoles,omitzero"` // of the owner that is made up when Owner is empty
}

// Roles maps a pool's name, or AllPools, to a role.
type Roles map[string]string

// IsZero leaves empty roles out of JSON.
func (r Roles) IsZero() bool { return len(r) == 0 }

type pat struct{ PAT }

type identity struct {
	Identity
	storageKey string // the id Azure DevOps gives it, a version 6 GUID
	subject    string // aadsp.… or aad.…, the same GUID as version 7 (azure-devops-rest.md 1.3)
	known      bool   // it is, or was, a user of the organisation: only then do these two exist for anybody
	added      time.Time
	lastAccess time.Time // its last call; a licence is pending until the first
}

// PutIdentity adds or replaces an identity; its object id is the key. Tokens already issued stay as they are, what
// the identity may do changes at once.
func (e *Emulator) PutIdentity(id Identity) error {
	if id.ObjectID == "" {
		return fmt.Errorf("cannot keep an identity: it has no object id")
	}
	for name, role := range id.Roles {
		if _, ok := roleBits[role]; !ok || role == RoleUser {
			return fmt.Errorf("cannot give %s the role %q on %s: a role is %s, %s or %s",
				id.ObjectID, role, name, RoleReader, RoleServiceAccount, RoleAdministrator)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addIdentity(id)
	e.dirty = true
	e.settle()
	return nil
}

// addIdentity fills in what was left out; mu is held.
func (e *Emulator) addIdentity(id Identity) {
	id.ObjectID = strings.ToLower(id.ObjectID)
	old := e.identities[id.ObjectID]
	keep := func(field *string, of func(*identity) string, fresh func() string) {
		switch {
		case *field != "":
		case old != nil:
			*field = of(old)
		default:
			*field = fresh()
		}
	}
	keep(&id.Kind, func(o *identity) string { return o.Kind }, func() string { return KindManagedIdentity })
	keep(&id.Name, func(o *identity) string { return o.Name }, func() string { return "identity-" + id.ObjectID })
	keep(&id.ClientID, func(o *identity) string { return o.ClientID }, newGUID)
	keep(&id.Tenant, func(o *identity) string { return o.Tenant }, func() string { return e.tenantID })
	if id.Kind == KindManagedIdentity {
		keep(&id.ResourceID, func(o *identity) string { return o.ResourceID }, func() string {
			return "/subscriptions/" + newGUID() + "/resourcegroups/emulated/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + id.Name
		})
	}
	n := &identity{Identity: id}
	if old != nil {
		n.storageKey, n.subject, n.known, n.added, n.lastAccess = old.storageKey, old.subject, old.known, old.added, old.lastAccess
	} else {
		n.storageKey, n.subject = newStorageKey(id.Kind)
	}
	if n.Member && !n.known {
		n.known, n.added = true, e.now()
	}
	e.identities[id.ObjectID] = n
	for k := range e.msiCache { // a changed token life should show in the next token
		if strings.HasPrefix(k, id.ObjectID+"|") {
			delete(e.msiCache, k)
		}
	}
}

// newStorageKey makes the pair of ids as azure-devops-rest.md 1.3 decoded it: one GUID, once with version nibble 6,
// once with 7 and in base64.
func newStorageKey(kind string) (storageKey, subject string) {
	g := newGUID()
	prefix := "aadsp."
	if kind == KindUser {
		prefix = "aad."
	}
	return g[:14] + "6" + g[15:], prefix + base64.RawURLEncoding.EncodeToString([]byte(g[:14]+"7"+g[15:]))
}

// descriptor is the identity's name in access control lists.
func (i *identity) descriptor() string {
	if i.Kind == KindUser {
		return "Microsoft.IdentityModel.Claims.ClaimsIdentity;" + i.Tenant + "\\" + i.Name
	}
	return "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;" + i.Tenant + "\\" + i.ObjectID
}

// PutPAT adds or replaces a personal access token and returns it with its defaults filled in.
func (e *Emulator) PutPAT(p PAT) (PAT, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.Token == "" {
		p.Token = newSecret(26)
	}
	p.Owner = strings.ToLower(p.Owner)
	if p.Owner == "" {
		p.Owner = newGUID()
		e.addIdentity(Identity{ObjectID: p.Owner, Kind: KindUser, Name: "owner of " + p.Name, Member: true, License: "express", Roles: p.Roles})
	}
	if e.identities[p.Owner] == nil {
		return PAT{}, fmt.Errorf("cannot keep a token of %s: there is no such identity", p.Owner)
	}
	e.pats[p.Token] = &pat{p}
	return p, nil
}

// Identities are all identities, those that the emulator made itself included, in order of object id.
func (e *Emulator) Identities() []Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Identity, 0, len(e.identities))
	for _, i := range e.identities {
		out = append(out, i.Identity)
	}
	slices.SortFunc(out, func(a, b Identity) int { return strings.Compare(a.ObjectID, b.ObjectID) })
	return out
}
