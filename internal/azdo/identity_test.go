package azdo_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/httpclient"
)

// TestProbe: what is at an address, by its answer to an anonymous request.
func TestProbe(t *testing.T) {
	const tenant = "0b6bd18c-0000-4000-8000-00000000000d"
	for _, tt := range []struct {
		what   string
		answer func(http.ResponseWriter)
		want   azdo.Endpoint
	}{
		{"refused, as the service does", func(w http.ResponseWriter) {
			w.Header().Set("X-VSS-ResourceTenant", tenant)
			w.WriteHeader(401)
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 401, Tenant: tenant}},
		{"led to the sign-in", func(w http.ResponseWriter) {
			w.Header().Set("X-VSS-ResourceTenant", tenant)
			w.Header().Set("Location", "https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com")
			w.WriteHeader(302)
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 302, Tenant: tenant}},
		{"a server of one's own", func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 401}},
		{"shown what is public", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 200}},
		{"no such organisation", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(404)
		}, azdo.Endpoint{Kind: azdo.NoSuchOrganisation, Status: 404}},
		{"a path that an organisation does not know", func(w http.ResponseWriter) {
			w.Header().Set("X-VSS-ResourceTenant", tenant)
			w.WriteHeader(404)
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 404, Tenant: tenant}},
		{"a login page", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		}, azdo.Endpoint{Kind: azdo.NotAzureDevOps, Status: 200}},
		{"led elsewhere", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://example.com/portal?secret=x")
			w.WriteHeader(302)
		}, azdo.Endpoint{Kind: azdo.RedirectsElsewhere, Status: 302, Target: "https://example.com/portal"}},
		{"down", func(w http.ResponseWriter) { w.WriteHeader(503) }, azdo.Endpoint{Kind: azdo.EndpointUnavailable, Status: 503}},
		{"of Microsoft accounts", func(w http.ResponseWriter) {
			w.Header().Set("X-VSS-ResourceTenant", "00000000-0000-0000-0000-000000000000")
			w.WriteHeader(401)
		}, azdo.Endpoint{Kind: azdo.OrganisationFound, Status: 401, Tenant: "00000000-0000-0000-0000-000000000000"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
			defer s.Close()
			client := httpclient.ForAzureDevOps("test", nil, nil)
			defer client.CloseIdleConnections()
			got, err := azdo.Probe(t.Context(), client, s.URL+"/org")
			if err != nil || got.Date.IsZero() {
				t.Errorf("%+v, %v", got, err)
			}
			got.Date = time.Time{}
			if got != tt.want || (got.Tenant == azdo.NoTenant) != (tt.what == "of Microsoft accounts") {
				t.Errorf("is %+v", got)
			}
		})
	}
}

// TestWhoAmI: the answers of azure-devops-rest.md 1.3, for each kind of account.
func TestWhoAmI(t *testing.T) {
	const (
		principal = `{"authenticatedUser":{"id":"b34cdbfd-1f2d-60c6-b04a-8a99d301a6cd","descriptor":"Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;T\\O",` +
			`"providerDisplayName":"agents","properties":{"Account":{"$type":"System.String","$value":"O"}}}}`
		person = `{"authenticatedUser":{"id":"b34cdbfd-1f2d-60c6-b04a-8a99d301a6cd","descriptor":"Microsoft.IdentityModel.Claims.ClaimsIdentity;T\\a@b",` +
			`"providerDisplayName":"A B","properties":{"Account":{"$type":"System.String","$value":"a@b"}}}}`
		nobody = `{"authenticatedUser":{"id":"AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa","providerDisplayName":"Anonymous"}}`
	)
	for _, tt := range []struct {
		body, object, kind string
		anonymous          bool
	}{
		{principal, "O", "service principal or managed identity", false},
		{person, "", "user", false},
		{nobody, "", "account", true},
		{`{}`, "", "account", true},
	} {
		s := newServer(t, says(200, asJSON, tt.body))
		u, err := s.client.WhoAmI(t.Context())
		if asked := s.seen()[0]; asked.Path != "/org/_apis/connectionData" || asked.Query.Get("api-version") != "7.1-preview.1" {
			t.Errorf("asks %+v", asked)
		}
		if err != nil || u.ObjectID() != tt.object || u.Kind() != tt.kind || u.Anonymous() != tt.anonymous {
			t.Errorf("%s is %+v, %v", tt.body, u, err)
		}
	}
}

func TestHasPermission(t *testing.T) {
	for body, want := range map[string]bool{"true": true, "false": false} {
		s := newServer(t, says(200, asJSON, body))
		if has, err := s.client.HasPermission(t.Context(), 7, azdo.MayView|azdo.MayManage); has != want || err != nil {
			t.Errorf("%s is %v, %v", body, has, err)
		}
		if asked := s.seen()[0]; asked.Path != "/org/_apis/distributedtask/pools/7/permissions/3" || asked.Query.Get("api-version") != "7.1-preview.1" {
			t.Errorf("asks %+v", asked)
		}
	}
}
