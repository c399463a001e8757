package azdo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// License is a licence, with its name in the API (azure-devops-rest.md 4.1).
type License string

// The licences that azptend knows. Only Basic, and those that include it, are enough for
// azptend's identity.
const (
	Basic       License = "express"
	Stakeholder License = "stakeholder"
	NoLicense   License = "none"
)

// IsEnough says whether roles on pools have an effect with this licence: it is Basic, or
// includes Basic.
func (l License) IsEnough() bool {
	switch strings.ToLower(string(l)) {
	case string(Basic), "advanced", "professional", "earlyadopter":
		return true
	}
	return false
}

func (l License) String() string {
	switch strings.ToLower(string(l)) {
	case string(Basic):
		return "Basic"
	case "advanced":
		return "Basic + Test Plans"
	case string(Stakeholder):
		return "Stakeholder"
	case string(NoLicense), "":
		return "no licence"
	}
	return string(l)
}

// Entitlement is a user of the organisation with its licence.
type Entitlement struct {
	ID          string    `json:"id"` // the storage key
	Principal   Principal `json:"servicePrincipal"`
	AccessLevel struct {
		License License `json:"accountLicenseType"`
		Source  string  `json:"licensingSource"`
		Status  string  `json:"status"` // pending, active, disabled, deleted, …
		Message string  `json:"statusMessage"`
	} `json:"accessLevel"`
	Projects []struct {
		Project Project `json:"projectRef"`
	} `json:"projectEntitlements"` // the projects that it was added to
}

// IsRemoved says whether the user was removed: the API still returns it, without a licence
// (azure-devops-rest.md 4.1).
func (e Entitlement) IsRemoved() bool {
	switch strings.ToLower(e.AccessLevel.Status) {
	case "deleted", "none":
		return true
	}
	return false
}

// RefusedError is a failure with status 200: the server understood the request and did not
// carry it out (azure-devops-rest.md 4.1).
type RefusedError struct {
	Op     string
	Key    int // usually 5000
	Reason string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("cannot %s: Azure DevOps says: %s (key %d)", e.Op, e.Reason, e.Key)
}

// entitlementResponse is the answer to a change. Despite status 200, it is a success only if
// IsSuccess is set.
type entitlementResponse struct {
	IsSuccess        bool
	Entitlement      *Entitlement `json:"servicePrincipalEntitlement"`
	OperationResult  operationResult
	OperationResults []operationResult
}

type operationResult struct {
	Errors []struct {
		Key   int
		Value string
	}
}

func (a entitlementResponse) result(op string) (Entitlement, error) {
	if a.IsSuccess && a.Entitlement != nil && a.Entitlement.ID != "" {
		return *a.Entitlement, nil
	}
	refused := &RefusedError{Op: op, Reason: "no reason, only that it did not succeed"}
	for _, o := range append(a.OperationResults, a.OperationResult) {
		if len(o.Errors) > 0 {
			refused.Key, refused.Reason = o.Errors[0].Key, oneLine(o.Errors[0].Value)
		}
	}
	return Entitlement{}, refused
}

type accessLevel struct {
	License License `json:"accountLicenseType"`
	Source  string  `json:"licensingSource"`
}

// AddPrincipal adds a service principal or managed identity of the organisation's tenant as
// a user with a licence. If it is a user already, it gets the licence. If the service
// refuses, the error is a *RefusedError.
func (a *Account) AddPrincipal(ctx context.Context, objectID string, license License) (Entitlement, error) {
	op := fmt.Sprintf("add identity %s to the organisation", objectID)
	var answer entitlementResponse
	err := a.client.do(ctx, request{
		op: op, method: http.MethodPost, base: a.entitlements, path: "_apis/serviceprincipalentitlements",
		query: inPreview, into: &answer,
		body: map[string]any{
			"accessLevel":      accessLevel{license, "account"},
			"servicePrincipal": map[string]string{"origin": "aad", "originId": objectID, "subjectKind": "servicePrincipal"},
		},
	})
	if err != nil {
		return Entitlement{}, err
	}
	return answer.result(op)
}

// Entitlement returns a user by its storage key.
func (a *Account) Entitlement(ctx context.Context, key string) (Entitlement, error) {
	var e Entitlement
	op := "look at the licence of identity " + key
	err := a.client.do(ctx, request{op: op, method: http.MethodGet, base: a.entitlements, path: entitlementPath(key),
		query: inPreview, into: &e})
	if err == nil && !strings.EqualFold(e.ID, key) {
		err = invalid(op, "it is of another user, or of none")
	}
	return e, err
}

// SetLicense changes a user's licence. If the service refuses, the error is a *RefusedError.
func (a *Account) SetLicense(ctx context.Context, key string, license License) (Entitlement, error) {
	op := fmt.Sprintf("give identity %s the licence %v", key, license)
	var answer entitlementResponse
	err := a.client.do(ctx, request{
		op: op, method: http.MethodPatch, base: a.entitlements, path: entitlementPath(key), contentType: "application/json-patch+json",
		query: inPreview, into: &answer,
		body: []map[string]any{{"from": "", "op": "replace", "path": "/accessLevel", "value": accessLevel{license, "account"}}},
	})
	if err != nil {
		return Entitlement{}, err
	}
	return answer.result(op)
}

// RemovePrincipal removes a user from the organisation, which frees its licence.
func (a *Account) RemovePrincipal(ctx context.Context, key string) error {
	return a.client.do(ctx, request{op: "remove identity " + key + " from the organisation", method: http.MethodDelete,
		base: a.entitlements, path: entitlementPath(key), query: inPreview})
}

func entitlementPath(key string) string {
	return "_apis/serviceprincipalentitlements/" + url.PathEscape(key)
}
