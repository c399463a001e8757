package goapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/graph"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/licensing"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/memberentitlementmanagement"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/webapi"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

func members(t *testing.T, c *azuredevops.Connection) memberentitlementmanagement.Client {
	t.Helper()
	client, err := memberentitlementmanagement.NewClient(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func subjects(t *testing.T, c *azuredevops.Connection) graph.Client {
	t.Helper()
	client, err := graph.NewClient(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// withLicence is a request to add a service principal to the organisation with a licence.
func withLicence(objectID string, licence licensing.AccountLicenseType) memberentitlementmanagement.AddServicePrincipalEntitlementArgs {
	return memberentitlementmanagement.AddServicePrincipalEntitlementArgs{
		ServicePrincipalEntitlement: &memberentitlementmanagement.ServicePrincipalEntitlement{
			AccessLevel:      &licensing.AccessLevel{AccountLicenseType: &licence, LicensingSource: &licensing.LicensingSourceValues.Account},
			ServicePrincipal: &graph.GraphServicePrincipal{Origin: ptr("aad"), OriginId: &objectID, SubjectKind: ptr("servicePrincipal")},
		}}
}

func firstError(r *memberentitlementmanagement.ServicePrincipalEntitlementOperationResult) string {
	if r.Errors == nil || len(*r.Errors) == 0 {
		return ""
	}
	e := (*r.Errors)[0]
	return fmt.Sprint(*e.Key, " ", *e.Value)
}

// An administrator adds a managed identity, gives it a role on a pool, and takes both back, like
// azptend setup.
func TestIdentityIsGivenAPool(t *testing.T) {
	ctx := context.Background()
	const oid, other = "66666666-6666-4666-8666-666666666666", "77777777-7777-4777-8777-777777777777"
	e := emulated.Start(t, "Default", "linux")
	e.Put(t, emulated.Identity{ObjectID: oid, Name: "agents-identity", Fresh: 1})
	admin := azuredevops.NewPatConnection(e.Org, e.PAT)
	itself := withToken(e.Org, e.Token(t, oid, ""))
	entitle, pools := members(t, admin), func() []string {
		t.Helper()
		found, err := agentsOf(t, itself).GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{ActionFilter: &taskagent.TaskAgentPoolActionFilterValues.Manage})
		return names(t, found, err)
	}

	// The identity is new in Entra ID: the status is 200, but the operation failed.
	added, err := entitle.AddServicePrincipalEntitlement(ctx, withLicence(oid, licensing.AccountLicenseTypeValues.Express))
	if err != nil || *added.IsSuccess || firstError(added.OperationResult) != "5000 VS403283: Could not add user '"+oid+"' at this time." {
		t.Fatalf("the first time it is added: %+v, %v", added, err)
	}
	if added, err = entitle.AddServicePrincipalEntitlement(ctx, withLicence(oid, licensing.AccountLicenseTypeValues.Express)); err != nil || !*added.IsSuccess {
		t.Fatalf("the second time: %+v, %v", added, err)
	}
	got := added.ServicePrincipalEntitlement
	id, level, who := *got.Id, got.AccessLevel, got.ServicePrincipal
	if *level.AccountLicenseType != licensing.AccountLicenseTypeValues.Express || *level.LicenseDisplayName != "Basic" || *level.Status != "pending" ||
		*who.OriginId != oid || *who.MetaType != "managedIdentity" || !strings.HasPrefix(*who.Descriptor, "aadsp.") || *added.OperationResult.ServicePrincipalId != id {
		t.Fatalf("the entitlement is %+v, %+v of %+v", *got, *level, *who)
	}
	same(t, "pools without a role", pools())

	// The role is assigned by the storage key. With the object id nothing happens, and only the count
	// of the answer shows it.
	roles := rolesOnPool(admin, "2")
	if done, err := roles.give(t, uuid.MustParse(oid), "Administrator"); err != nil || len(done) != 0 {
		t.Fatalf("a role for the object id: %+v, %v", done, err)
	}
	done, err := roles.give(t, id, "Administrator")
	if err != nil || len(done) != 1 || done[0].Role.AllowPermissions != 27 || done[0].Identity.ID != id || done[0].Access != "assigned" {
		t.Fatalf("a role for the storage key: %+v, %v", done, err)
	}
	same(t, "pools with the role", pools(), "linux")
	if on1, on2 := rolesOnPool(admin, "1").of(t, id), roles.of(t, id); on1 != "" || on2 != "Administrator assigned" {
		t.Errorf("its roles are %q and %q", on1, on2)
	}
	_, err = rolesOnPool(itself, "2").give(t, id, "Reader")
	refused(t, err, 400, "Cannot modify the role for self identity.")
	_, err = members(t, itself).AddServicePrincipalEntitlement(ctx, withLicence(other, licensing.AccountLicenseTypeValues.Express))
	refused(t, err, 403, "Access Denied: "+id.String()+" needs the following permission(s) on the resource Users to perform this action: Add Users")

	changed, err := entitle.UpdateServicePrincipalEntitlement(ctx, memberentitlementmanagement.UpdateServicePrincipalEntitlementArgs{ServicePrincipalId: &id,
		Document: &[]webapi.JsonPatchOperation{{Op: &webapi.OperationValues.Replace, Path: ptr("/accessLevel"),
			Value: licensing.AccessLevel{AccountLicenseType: &licensing.AccountLicenseTypeValues.Stakeholder, LicensingSource: &licensing.LicensingSourceValues.Account}}}})
	if err != nil || !*changed.IsSuccess || *changed.ServicePrincipalEntitlement.AccessLevel.AccountLicenseType != "stakeholder" || len(*changed.OperationResults) != 1 {
		t.Fatalf("the licence changed: %+v, %v", changed, err)
	}
	bulk, err := entitle.UpdateServicePrincipalEntitlements(ctx, memberentitlementmanagement.UpdateServicePrincipalEntitlementsArgs{
		Document: &[]webapi.JsonPatchOperation{{Op: &webapi.OperationValues.Replace, Path: ptr("/" + id.String() + "/accessLevel"),
			Value: licensing.AccessLevel{AccountLicenseType: &licensing.AccountLicenseTypeValues.Express, LicensingSource: &licensing.LicensingSourceValues.Account}}}})
	if err != nil || !*bulk.HaveResultsSucceeded || len(*bulk.Results) != 1 {
		t.Fatalf("licences changed in bulk: %+v, %v", bulk, err)
	}
	now, err := entitle.GetServicePrincipalEntitlement(ctx, memberentitlementmanagement.GetServicePrincipalEntitlementArgs{ServicePrincipalId: &id})
	if err != nil || *now.AccessLevel.AccountLicenseType != "express" || *now.AccessLevel.Status != "active" || now.LastAccessedDate.Time.IsZero() {
		t.Fatalf("it was used, and its entitlement is %+v, %+v, %v", now, now.AccessLevel, err)
	}

	if err := roles.take(t, id); err != nil || roles.of(t, id) != "" {
		t.Fatalf("without the role it has %q, %v", roles.of(t, id), err)
	}
	if err := entitle.DeleteServicePrincipalEntitlement(ctx, memberentitlementmanagement.DeleteServicePrincipalEntitlementArgs{ServicePrincipalId: &id}); err != nil {
		t.Fatal(err)
	}
	gone, err := entitle.GetServicePrincipalEntitlement(ctx, memberentitlementmanagement.GetServicePrincipalEntitlementArgs{ServicePrincipalId: &id})
	if err != nil || *gone.AccessLevel.Status != "deleted" {
		t.Fatalf("who was removed has the entitlement %+v, %v", gone, err)
	}
	_, err = taskagent.NewClient(ctx, withToken(e.Org, e.Token(t, oid, "")))
	refused(t, err, 401, "TF401444")
}

// An auditor lists the members of the organisation page by page, and finds one of them by each of
// its ids.
func TestGraph(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	var want []string
	for i := range 7 {
		oid := fmt.Sprintf("8%d888888-8888-4888-8888-888888888888", i)
		want = append(want, oid)
		e.Put(t, emulated.Identity{ObjectID: oid, Name: fmt.Sprint("principal ", i), Kind: "servicePrincipal", Member: true})
		e.Put(t, emulated.Identity{ObjectID: fmt.Sprintf("8%d999999-9999-4999-8999-999999999999", i), Name: fmt.Sprint("person ", i), Kind: "user", Member: true})
	}
	client := subjects(t, azuredevops.NewPatConnection(e.Org, e.PAT))

	var got []string
	var last graph.GraphServicePrincipal
	pages := 0
	for args := (graph.ListServicePrincipalsArgs{}); ; pages++ {
		page, err := client.ListServicePrincipals(ctx, args)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range *page.GraphServicePrincipals {
			if strings.HasPrefix(*p.DisplayName, "principal ") {
				got, last = append(got, *p.OriginId), p
			}
		}
		if (*page.ContinuationToken)[0] == "" {
			break
		}
		args.ContinuationToken = &(*page.ContinuationToken)[0]
	}
	same(t, "those of all pages", got, want...)
	if pages < 2 {
		t.Errorf("all of them came in %d pages", pages+1)
	}

	// The storage key and the descriptor are the same GUID, except for the version digit.
	key, err := client.GetStorageKey(ctx, graph.GetStorageKeyArgs{SubjectDescriptor: last.Descriptor})
	if err != nil {
		t.Fatal(err)
	}
	inDescriptor, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(*last.Descriptor, "aadsp."))
	if id := key.Value.String(); err != nil || id[:14]+"7"+id[15:] != string(inDescriptor) || key.Value.Version() != 6 {
		t.Errorf("the storage key is %s, and in the descriptor is %s, %v", key.Value, inDescriptor, err)
	}
	back, err := client.GetDescriptor(ctx, graph.GetDescriptorArgs{StorageKey: key.Value})
	if err != nil || *back.Value != *last.Descriptor {
		t.Errorf("the descriptor of the storage key is %+v, %v", back, err)
	}
	one, err := client.GetServicePrincipal(ctx, graph.GetServicePrincipalArgs{ServicePrincipalDescriptor: last.Descriptor})
	if err != nil || *one.OriginId != want[6] || *one.ApplicationId == "" || *one.SubjectKind != "servicePrincipal" {
		t.Errorf("the principal is %+v, %v", one, err)
	}
	found, err := client.QuerySubjects(ctx, graph.QuerySubjectsArgs{SubjectQuery: &graph.GraphSubjectQuery{Query: &want[2], SubjectKind: &[]string{"User"}}})
	if err != nil || len(*found) != 1 || *(*found)[0].OriginId != want[2] {
		t.Errorf("the search finds %+v, %v", found, err)
	}
	_, err = client.GetStorageKey(ctx, graph.GetStorageKeyArgs{SubjectDescriptor: ptr("aadsp.bm9ib2R5")})
	refused(t, err, 404, "aadsp.bm9ib2R5")
}

// Through the graph an identity is added without a licence. The library's own
// CreateServicePrincipal cannot name the identity, because its creation context has no origin id.
// The library's client can.
func TestGraphAddsWithoutALicence(t *testing.T) {
	ctx := context.Background()
	const oid = "99999999-9999-4999-8999-999999999990"
	e := emulated.Start(t)
	e.Put(t, emulated.Identity{ObjectID: oid, Name: "unlicensed", Kind: "servicePrincipal"})
	admin := azuredevops.NewPatConnection(e.Org, e.PAT)
	client := subjects(t, admin)
	raw := client.(*graph.ClientImpl).Client
	resp, err := raw.Send(ctx, http.MethodPost, uuid.MustParse("e1dbb0ae-49cb-4532-95a1-86cd89cfcab4"), "7.1-preview.1", nil, nil,
		strings.NewReader(`{"originId":"`+oid+`"}`), azuredevops.MediaTypeApplicationJson, azuredevops.MediaTypeApplicationJson, nil)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("made with %+v, %v", resp, err)
	}
	var made graph.GraphServicePrincipal
	if err := raw.UnmarshalBody(resp, &made); err != nil || *made.OriginId != oid {
		t.Fatalf("made %+v, %v", made, err)
	}
	key, err := client.GetStorageKey(ctx, graph.GetStorageKeyArgs{SubjectDescriptor: made.Descriptor})
	if err != nil {
		t.Fatal(err)
	}
	now, err := members(t, admin).GetServicePrincipalEntitlement(ctx, memberentitlementmanagement.GetServicePrincipalEntitlementArgs{ServicePrincipalId: key.Value})
	if err != nil || *now.AccessLevel.AccountLicenseType != "none" {
		t.Fatalf("its entitlement is %+v, %v", now, err)
	}
	if err := client.DeleteServicePrincipal(ctx, graph.DeleteServicePrincipalArgs{ServicePrincipalDescriptor: made.Descriptor}); err != nil {
		t.Fatal(err)
	}
	if e.Identity(t, oid).Member {
		t.Error("the emulator has it still")
	}
}
