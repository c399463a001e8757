package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The licences that matter here, and what the portal calls them (azure-devops-rest.md 4.1).
const (
	LicenseBasic       = "express"
	LicenseStakeholder = "stakeholder"
	LicenseNone        = "none"
)

var licenseNames = map[string]string{
	LicenseBasic: "Basic", LicenseStakeholder: "Stakeholder", LicenseNone: "None", "advanced": "Basic + Test Plans",
	"professional": "Visual Studio Professional", "earlyadopter": "Early Adopter",
}

type accessLevelJSON struct {
	LicensingSource    string `json:"licensingSource"`
	AccountLicenseType string `json:"accountLicenseType"`
	MsdnLicenseType    string `json:"msdnLicenseType"`
	GitHubLicenseType  string `json:"gitHubLicenseType"`
	LicenseDisplayName string `json:"licenseDisplayName"`
	Status             string `json:"status"`
	StatusMessage      string `json:"statusMessage"`
	AssignmentSource   string `json:"assignmentSource"`
}

// entitlementJSON is E of azure-devops-rest.md 4.1.
type entitlementJSON struct {
	ID                  string          `json:"id"`
	ServicePrincipal    graphJSON       `json:"servicePrincipal"`
	AccessLevel         accessLevelJSON `json:"accessLevel"`
	LastAccessedDate    *timestamp      `json:"lastAccessedDate"`
	DateCreated         *timestamp      `json:"dateCreated"`
	ProjectEntitlements []struct{}      `json:"projectEntitlements"`
	Extensions          []struct{}      `json:"extensions"`
	GroupAssignments    []struct{}      `json:"groupAssignments"`
}

func (e *Emulator) entitlement(c *request, id *identity) *entitlementJSON {
	license := cmp.Or(strings.ToLower(id.License), LicenseNone)
	level := accessLevelJSON{
		LicensingSource: "account", AccountLicenseType: license, MsdnLicenseType: "none", GitHubLicenseType: "none",
		LicenseDisplayName: licenseNames[license], Status: "pending", AssignmentSource: "unknown",
	}
	seen := timestamp(time.Time{}) // year 1 with a zone, as the service writes it here
	if !id.lastAccess.IsZero() {
		level.Status, seen = "active", timestamp(id.lastAccess)
	}
	if !id.Member { // a removed user still has an entitlement, which says so
		level.Status, level.AccountLicenseType, level.LicensingSource, level.LicenseDisplayName = "deleted", LicenseNone, "none", ""
	}
	return &entitlementJSON{
		ID: id.storageKey, ServicePrincipal: e.graphOf(c, id), AccessLevel: level, LastAccessedDate: &seen, DateCreated: timestampOf(id.added),
		ProjectEntitlements: []struct{}{}, Extensions: []struct{}{}, GroupAssignments: []struct{}{},
	}
}

type keyedError struct {
	Key   int    `json:"key"`
	Value string `json:"value"`
}

type operationResult struct {
	IsSuccess          bool             `json:"isSuccess"`
	ServicePrincipalID *string          `json:"servicePrincipalId"`
	Errors             []keyedError     `json:"errors"`
	Result             *entitlementJSON `json:"result"`
}

type entitlementAnswer struct {
	IsSuccess                   bool              `json:"isSuccess"`
	ServicePrincipalEntitlement *entitlementJSON  `json:"servicePrincipalEntitlement"`
	OperationResult             *operationResult  `json:"operationResult,omitempty"`
	OperationResults            []operationResult `json:"operationResults,omitempty"` // of PATCH
}

// entitlementRefused is the failure that comes with status 200.
func entitlementRefused(format string, args ...any) operationResult {
	return operationResult{Errors: []keyedError{{5000, fmt.Sprintf(format, args...)}}}
}

func (e *Emulator) entitlementGranted(c *request, id *identity) operationResult {
	done := e.entitlement(c, id)
	return operationResult{IsSuccess: true, ServicePrincipalID: &done.ID, Errors: []keyedError{}, Result: done}
}

type entitlementIn struct {
	AccessLevel      accessLevelJSON `json:"accessLevel"`
	ServicePrincipal struct {
		Origin   string `json:"origin"`
		OriginID string `json:"originId"`
	} `json:"servicePrincipal"`
}

// addEntitlement is POST: failures are answered with 200 too (azure-devops-rest.md 4.1).
func (e *Emulator) addEntitlement(c *request, _ *identity, in entitlementIn) (any, error) {
	result := e.addServicePrincipalEntitlement(c, in)
	return entitlementAnswer{IsSuccess: result.IsSuccess, ServicePrincipalEntitlement: result.Result, OperationResult: &result}, nil
}

func (e *Emulator) addServicePrincipalEntitlement(c *request, in entitlementIn) operationResult {
	oid, license := strings.ToLower(in.ServicePrincipal.OriginID), strings.ToLower(in.AccessLevel.AccountLicenseType)
	switch {
	case oid == "":
		return entitlementRefused("The Id, OriginId, or User.PrincipalName must be set to a valid value.")
	case licenseNames[license] == "":
		return entitlementRefused("The license type '%s' is not valid.", in.AccessLevel.AccountLicenseType)
	}
	id, why := e.directoryPrincipal(oid)
	if why != "" {
		return entitlementRefused("%s", why)
	}
	e.addMember(id, license)
	return e.entitlementGranted(c, id)
}

// directoryPrincipal finds a service principal or managed identity of the organisation's tenant by its object id, or
// says why it cannot be added.
func (e *Emulator) directoryPrincipal(oid string) (*identity, string) {
	for _, id := range e.identities {
		if oid != "" && strings.EqualFold(id.ApplicationObjectID, oid) { // the app registration's object, not its service principal's
			return nil, fmt.Sprintf("Failed to create service principal with object ID '%s'", oid)
		}
	}
	id := e.identities[oid]
	isOurs := id != nil && id.Kind != KindUser && strings.EqualFold(id.Tenant, e.Tenant)
	isFresh := isOurs && !id.known && id.Fresh > 0
	if isFresh {
		id.Fresh--
	}
	if !isOurs || isFresh {
		return nil, fmt.Sprintf("VS403283: Could not add user '%s' at this time.", oid)
	}
	return id, ""
}

// addMember makes an identity a user of the organisation, or changes the licence of one that is.
func (e *Emulator) addMember(id *identity, license string) {
	if !id.Member {
		id.Member, id.known, id.added, id.lastAccess = true, true, e.Now(), time.Time{}
		e.record(Event{Type: EventMemberAdded, Identity: id.ObjectID, Detail: license})
	} else if id.License != license {
		e.record(Event{Type: EventMemberLicensed, Identity: id.ObjectID, Detail: license})
	}
	id.License = license
}

// entitled finds the service principal of the request's path for a caller that guard accepts.
func (e *Emulator) entitled(guard func(*request) (*identity, error)) func(*request) (*identity, error) {
	return func(c *request) (*identity, error) {
		if _, err := guard(c); err != nil {
			return nil, err
		}
		id := e.knownIdentity(c.params["servicePrincipalId"])
		if id == nil || id.Kind == KindUser {
			return nil, errWebAPI(http.StatusNotFound, "IdentityNotFoundException", "No identity found with identifier '%s'.", c.params["servicePrincipalId"])
		}
		return id, nil
	}
}

func (e *Emulator) getEntitlement(c *request, id *identity) (any, error) {
	return e.entitlement(c, id), nil
}

// patchOp is one operation of a JSON patch.
type patchOp struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// applyPatch does one operation on an entitlement; path is without the entitlement's id.
func (e *Emulator) applyPatch(c *request, id *identity, op patchOp) operationResult {
	var level accessLevelJSON
	err := json.Unmarshal(op.Value, &level)
	license := strings.ToLower(level.AccountLicenseType)
	switch {
	case !strings.EqualFold(op.Path, "/accessLevel") || !strings.EqualFold(op.Op, "replace"):
		return entitlementRefused("The operation %s on %s is not supported.", op.Op, op.Path)
	case err != nil || licenseNames[license] == "":
		return entitlementRefused("The license type '%s' is not valid.", level.AccountLicenseType)
	case !id.Member:
		return entitlementRefused("VS403283: Could not add user '%s' at this time.", id.ObjectID)
	}
	e.addMember(id, license)
	return e.entitlementGranted(c, id)
}

func (e *Emulator) updateEntitlement(c *request, id *identity, ops []patchOp) (any, error) {
	out := entitlementAnswer{IsSuccess: true, OperationResults: []operationResult{}}
	for _, op := range ops {
		r := e.applyPatch(c, id, op)
		out.IsSuccess = out.IsSuccess && r.IsSuccess
		out.OperationResults = append(out.OperationResults, r)
	}
	out.ServicePrincipalEntitlement = e.entitlement(c, id)
	return out, nil
}

// updateEntitlements is the bulk PATCH: "/{id}/accessLevel", or an added one at "".
func (e *Emulator) updateEntitlements(c *request, _ *identity, ops []patchOp) (any, error) {
	results, good := []operationResult{}, true
	for _, op := range ops {
		var r operationResult
		key, rest, _ := strings.Cut(strings.TrimPrefix(op.Path, "/"), "/")
		id := e.knownIdentity(key)
		switch {
		case strings.EqualFold(op.Op, "add") && key == "":
			var in entitlementIn
			if json.Unmarshal(op.Value, &in) != nil {
				return nil, errBadRequest("The value of the operation is no entitlement.")
			}
			r = e.addServicePrincipalEntitlement(c, in)
		case id == nil:
			r = entitlementRefused("No identity found with identifier '%s'.", key)
		default:
			op.Path = "/" + rest
			r = e.applyPatch(c, id, op)
		}
		good = good && r.IsSuccess
		results = append(results, r)
	}
	return obj{"id": newGUID(), "status": "succeeded", "completed": true, "haveResultsSucceeded": good, "results": results}, nil
}

// removeMember removes an identity from the organisation. Its roles stay stored, without effect.
func (e *Emulator) removeMember(_ *request, id *identity) (any, error) {
	if id.Member {
		id.Member, id.License, id.lastAccess = false, "", time.Time{}
		e.record(Event{Type: EventMemberRemoved, Identity: id.ObjectID})
	}
	return noContent, nil
}

// mayManageUsers accepts project collection administrators. Nobody else manages users.
func mayManageUsers(permission string) func(*request) (*identity, error) {
	return func(c *request) (*identity, error) {
		id := c.who.identity
		if id != nil && id.Admin {
			return id, nil
		}
		who := zeroGUID
		if id != nil {
			who = id.storageKey
		}
		return nil, errWebAPI(http.StatusForbidden, "AccessCheckException",
			"Access Denied: %s needs the following permission(s) on the resource Users to perform this action: %s", who, permission)
	}
}

// mayReadUsers accepts users of the organisation; agents and jobs do not read users.
func mayReadUsers(c *request) (*identity, error) {
	if c.who.identity == nil {
		return nil, errNeeds(c.who, "View", "")
	}
	return c.who.identity, nil
}
