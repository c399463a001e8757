package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
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

// Identity is an Entra identity, with its rights in the organisation.
type Identity struct {
	ObjectID string `json:"objectId"`
	// ApplicationObjectID is the app registration's object id, which people take for the one above.
	ApplicationObjectID string `json:"applicationObjectId,omitempty"`
	Name                string `json:"name,omitempty"`
	Kind                string `json:"kind,omitempty"`     // default managedIdentity
	ClientID            string `json:"clientId,omitempty"` // default: a random one
	// ResourceID is a managed identity's Azure resource id; default: a random one.
	ResourceID string `json:"resourceId,omitempty"`
	// Tenant issues its tokens; default: the organisation's tenant.
	Tenant string `json:"tenant,omitempty"`

	// Member: the organisation knows it. Without it every call answers 401 TF401444.
	Member bool `json:"member"`
	// Refused: the organisation knows it, and refuses it with 401 TF400813.
	Refused bool   `json:"refused,omitempty"`
	License string `json:"license,omitempty"` // express, stakeholder, none; without effect on pools
	// ConditionalAccess says where a policy blocks it: "", PolicyAtService or PolicyAtEntra.
	ConditionalAccess string `json:"conditionalAccess,omitempty"`
	// Admin: a project collection administrator. Nobody else manages users.
	Admin bool `json:"admin,omitempty"`
	// Fresh is how many more times adding it to the organisation fails, because Entra ID has only just made it.
	Fresh int `json:"fresh,omitempty"`
	// Roles by pool name, or AllPools.
	Roles Roles `json:"roles,omitempty"`

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

// wire is the identity in JSON.
func (i *Identity) wire() any {
	type plain Identity
	return &struct {
		*plain
		TokenLife *duration `json:"tokenLife,omitzero"`
	}{(*plain)(i), (*duration)(&i.TokenLife)}
}

// MarshalJSON writes TokenLife as "1h0m0s".
func (i Identity) MarshalJSON() ([]byte, error) {
	return json.Marshal(i.wire())
}

// UnmarshalJSON reads what MarshalJSON writes.
func (i *Identity) UnmarshalJSON(b []byte) error {
	return strictJSON(b, i.wire())
}

// PAT is a personal access token.
type PAT struct {
	Token   string    `json:"token"` // default: a random one
	Name    string    `json:"name,omitempty"`
	Owner   string    `json:"owner,omitempty"`      // object id of an identity; default a member with Roles
	Scopes  []string  `json:"scopes,omitempty"`     // vso.agentpools, vso.agentpools_manage; empty: full access
	Expires time.Time `json:"expires,omitzero"`     // zero: never
	Revoked bool      `json:"revoked,omitempty"`    // as if it did not exist
	Roles   Roles     `json:"ownerRoles,omitempty"` // of the owner that is created if Owner is empty
}

type identity struct {
	Identity
	storageKey string // the id Azure DevOps gives it, a version 6 GUID
	subject    string // aadsp.… or aad.…, the same GUID as version 7 (azure-devops-rest.md 1.3)
	known      bool   // it is, or was, a user of the organisation: only then do these two exist for anybody
	added      time.Time
	lastAccess time.Time // its last call; a licence is pending until the first
}

// Roles maps a pool's name, or AllPools, to a role.
type Roles = map[string]string

// PutIdentity adds or replaces an identity; its object id is the key. Issued tokens stay valid, and its
// rights change at once.
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
	defer e.change()()
	e.addIdentity(id)
	return nil
}

// addIdentity fills in what was left out; mu is held.
func (e *Emulator) addIdentity(id Identity) {
	id.ObjectID = strings.ToLower(id.ObjectID)
	n := &identity{}
	if old := e.identities[id.ObjectID]; old != nil {
		*n = *old
	}
	old := n.Identity // an identity that is replaced keeps what is left out
	n.Identity = id
	n.Kind = cmp.Or(id.Kind, old.Kind, KindManagedIdentity)
	n.Name = cmp.Or(id.Name, old.Name, "identity-"+id.ObjectID)
	n.Tenant = cmp.Or(id.Tenant, old.Tenant, e.Tenant)
	if n.ClientID = cmp.Or(id.ClientID, old.ClientID); n.ClientID == "" {
		n.ClientID = newGUID()
	}
	if n.ResourceID = cmp.Or(id.ResourceID, old.ResourceID); n.ResourceID == "" && n.Kind == KindManagedIdentity {
		n.ResourceID = "/subscriptions/" + newGUID() + "/resourcegroups/emulated/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + n.Name
	}
	if n.storageKey == "" {
		n.storageKey, n.subject = newStorageKey(n.Kind)
	}
	if n.Member && !n.known {
		n.known, n.added = true, e.Now()
	}
	e.identities[id.ObjectID] = n
	for k := range e.msiCache { // the next token has the new lifetime
		if strings.HasPrefix(k, id.ObjectID+"|") {
			delete(e.msiCache, k)
		}
	}
}

// newStorageKey makes the pair of ids as azure-devops-rest.md 1.3 decoded it: one GUID, once with version nibble 6,
// once with 7 and in base64.
func newStorageKey(kind string) (storageKey, subject string) {
	g, prefix := newGUID(), choose(kind == KindUser, "aad.", "aadsp.")
	return g[:14] + "6" + g[15:], prefix + b64url.EncodeToString([]byte(g[:14]+"7"+g[15:]))
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
	e.pats[p.Token] = &p
	return p, nil
}

// Identities are all identities, those that the emulator made itself included, in order of object id.
func (e *Emulator) Identities() []Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	return each(e.sortedIdentities(), func(id *identity) Identity { return id.Identity })
}
