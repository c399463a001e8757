package keda

import (
	"os"
	"path/filepath"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// emulate starts an emulator with one job in the queue, and an identity for KEDA's operator.
func emulate(t *testing.T, operator emulated.Identity) (*emulated.Emulator, emulated.Identity) {
	t.Helper()
	e := emulated.Start(t, "linux")
	e.Queue(t, emulated.Job{Script: "true", Force: true})
	if err := entra.For(e); err != nil {
		t.Fatal(err)
	}
	operator.ObjectID, operator.Name = "55555555-5555-4555-8555-555555555555", "keda-operator"
	e.Put(t, operator)
	return e, e.Identity(t, operator.ObjectID)
}

func countsOneAs(t *testing.T, e *emulated.Emulator, a auth) {
	t.Helper()
	n, active, err := poll(mustBuild(t, e, trigger{"poolName": "linux"}, a))
	if err != nil || n != 1 || !active {
		t.Errorf("KEDA counts %d, active %v, %v", n, active, err)
	}
	for _, c := range e.Calls(t) {
		if c.Query == "$top=250" && c.Who != "identity:keda-operator" {
			t.Errorf("it is taken for %q", c.Who)
		}
	}
}

// TriggerAuthentication.spec.azureServicePrincipal, new in 2.21.
func TestServicePrincipal(t *testing.T) {
	e, operator := emulate(t, emulated.Identity{Kind: "servicePrincipal", Member: true, Secret: "s3cret", Roles: map[string]string{"linux": "Reader"}})
	with := func(secret string) auth {
		return auth{params: map[string]string{"azureServicePrincipal": "true", "azureServicePrincipalTenantId": operator.Tenant,
			"azureServicePrincipalClientId": operator.ClientID, "azureServicePrincipalClientSecret": secret,
			"azureServicePrincipalCloud": "Private", "azureServicePrincipalActiveDirectoryEndpoint": entra.URL}}
	}
	countsOneAs(t, e, with("s3cret"))

	_, err := build(e, trigger{"poolName": "linux"}, with("wrong"))
	fails(t, err, "AADSTS7000215")
	operator.Member = false
	e.Put(t, operator)
	_, err = build(e, trigger{"poolName": "linux"}, with("s3cret"))
	fails(t, err, `status: 401 response: `)
	fails(t, err, `TF401444: Please sign-in at least once as `+operator.Tenant)
}

// TriggerAuthentication.spec.podIdentity.provider azure-workload: the operator's own identity.
func TestWorkloadIdentity(t *testing.T) {
	const subject = "system:serviceaccount:keda:keda-operator"
	e, operator := emulate(t, emulated.Identity{Member: true, Subject: subject, Roles: map[string]string{"linux": "Reader"}})
	projected := filepath.Join(t.TempDir(), "token")
	project := func(subject string) {
		if err := os.WriteFile(projected, []byte(e.ProjectedToken(t, subject)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", t.TempDir()) // if there is an az, KEDA uses it first, and tries no other identity when it fails
	t.Setenv("AZURE_AUTHORITY_HOST", entra.URL)
	t.Setenv("AZURE_TENANT_ID", operator.Tenant)
	t.Setenv("AZURE_CLIENT_ID", operator.ClientID)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", projected)
	workload := auth{pod: kedav1alpha1.AuthPodIdentity{Provider: kedav1alpha1.PodIdentityProviderAzureWorkload}}
	project(subject)
	countsOneAs(t, e, workload)

	project("system:serviceaccount:ci:somebody")
	_, err := build(e, trigger{"poolName": "linux"}, workload)
	fails(t, err, "AADSTS700213")
	_, err = build(e, trigger{"poolName": "linux"}, auth{pod: kedav1alpha1.AuthPodIdentity{Provider: "aws"}})
	fails(t, err, "pod identity aws not supported for azure pipelines")
}

// A refused PAT gets the sign-in page with status 203, which KEDA parses as its answer.
func TestBadToken(t *testing.T) {
	e, operator := emulate(t, emulated.Identity{Roles: map[string]string{"linux": "Reader"}})
	_, err := build(e, trigger{"poolName": "linux"}, pat("no-such-token"))
	fails(t, err, "invalid character '<' looking for beginning of value")
	_, err = build(e, trigger{"poolName": "linux"}, auth{})
	fails(t, err, "no personalAccessToken, Azure service principal, or PodIdentity provider configured")

	// An Entra token can replace a PAT. The identity of this one is not in the organisation.
	_, err = build(e, trigger{"poolName": "linux"}, pat(e.Token(t, operator.ObjectID, "")))
	fails(t, err, "status: 401 response: ")
	countsOneWith := pat(e.PATOf(t, "keda", "Reader") + "\n") // with the newline of a Secret that was created from a file
	if n, _, err := poll(mustBuild(t, e, trigger{"poolName": "linux"}, countsOneWith)); n != 1 || err != nil {
		t.Errorf("with a line's end after the PAT KEDA counts %d, %v", n, err)
	}

	// Throttled: KEDA neither waits nor retries, and reports the answer.
	s := mustBuild(t, e, trigger{"poolName": "linux"}, pat(e.PAT))
	e.Break(t, emulated.Fault{Path: "/jobrequests", Times: 1, Status: 429, Body: `{"message":"TF400733: ..."}`, Headers: map[string]string{"Retry-After": "7"}})
	_, _, err = poll(s)
	fails(t, err, "status: 429 response: ")
	if n, _, err := poll(s); n != 1 || err != nil {
		t.Errorf("at the next poll it counts %d, %v", n, err)
	}
}
