package azdo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/azdo"
)

const (
	areaMembers = "68ddce18-2501-45f1-a17b-7931a9922690"
	areaGraph   = "BB1E7EC9-e901-4b68-999a-de7012b920f8"
	key         = "b34cdbfd-1f2d-60c6-b04a-8a99d301a6cd"
)

// anAccount is an organisation whose APIs for users are on other paths, according to its
// areas.
func anAccount(t *testing.T, answer http.HandlerFunc) (*server, *azdo.Account) {
	t.Helper()
	var s *server
	s = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_apis/ResourceAreas") {
			says(200, asJSON, fmt.Sprintf(`{"count":2,"value":[{"id":"%s","name":"MemberEntitlementManagement","locationUrl":"%s/vsaex/org/"},{"id":"%s","name":"Graph","locationUrl":"%s/vssps/org/"}]}`,
				areaMembers, s.URL, areaGraph, s.URL))(w, r)
			return
		}
		answer(w, r)
	})
	account, err := s.client.Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, account
}

// TestAreas: an organisation returns the hosts of its APIs for users. The token is sent only
// to some of them.
func TestAreas(t *testing.T) {
	both := func(members, graph string) string {
		return fmt.Sprintf(`{"count":2,"value":[{"id":"%s","locationUrl":"%s"},{"id":"%s","locationUrl":"%s"}]}`, areaMembers, members, areaGraph, graph)
	}
	for _, c := range []struct {
		name, base, answer string
		wants              error // nil for none
		says               string
	}{
		{"dev.azure.com", "https://dev.azure.com/org", both("https://vsaex.dev.azure.com/org/", "https://vssps.dev.azure.com/org/"), nil, ""},
		{"the old address", "https://org.visualstudio.com", both("https://org.vsaex.visualstudio.com/", "https://org.vssps.visualstudio.com/"), nil, ""},
		{"an emulator", "http://127.0.0.1:8140/org", both("http://127.0.0.1:8140/vsaex/org/", "http://127.0.0.1:8140/vssps/org/"), nil, ""},
		{"Azure DevOps Server", "https://tfs/tfs/Collection", `{"count":0,"value":null}`, azdo.ErrAzureDevOpsServer, ""},
		{"another host", "https://dev.azure.com/org", both("https://vsaex.dev.azure.com/org/", "https://evil.example/org/"), azdo.ErrForeignHost, "https://evil.example/org"},
		{"a look-alike", "https://dev.azure.com/org", both("https://dev.azure.com.evil.example/", "https://vssps.dev.azure.com/org/"), azdo.ErrForeignHost, ""},
		{"another look-alike", "https://dev.azure.com/org", both("https://evildev.azure.com/", "https://vssps.dev.azure.com/org/"), azdo.ErrForeignHost, ""},
		{"in the clear", "https://dev.azure.com/org", both("http://vsaex.dev.azure.com/org/", "https://vssps.dev.azure.com/org/"), azdo.ErrForeignHost, ""},
		{"another port", "https://dev.azure.com/org", both("https://vsaex.dev.azure.com:8443/org/", "https://vssps.dev.azure.com/org/"), azdo.ErrForeignHost, ""},
		{"with a password", "https://dev.azure.com/org", both("https://a:b@vsaex.dev.azure.com/org/", "https://vssps.dev.azure.com/org/"), azdo.ErrForeignHost, ""},
		{"an area missing", "https://dev.azure.com/org", `{"count":1,"value":[{"id":"` + areaMembers + `","locationUrl":"https://vsaex.dev.azure.com/org/"}]}`, nil, "does not name the host of area bb1e7ec9"},
	} {
		client := azdo.New(c.base, &http.Client{Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: 200, Request: r, Header: http.Header{"Content-Type": {asJSON}}, Body: io.NopCloser(strings.NewReader(c.answer))}
		})}, &tokens{}, nil)
		_, err := client.Account(t.Context())
		switch {
		case c.wants == nil && c.says == "" && err != nil, c.wants != nil && !errors.Is(err, c.wants),
			c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestAccountRequests: each request goes to its host, in the format of azure-devops-rest.md
// 4.
func TestAccountRequests(t *testing.T) {
	const entitled = `{"isSuccess":true,"servicePrincipalEntitlement":{"id":"` + key + `","accessLevel":{"accountLicenseType":"express","status":"pending"},
		"servicePrincipal":{"applicationId":"app","originId":"oid","metaType":"application","displayName":"robot"},"lastAccessedDate":"0001-01-01T00:00:00Z"},"operationResult":{"isSuccess":true,"errors":[]}}`
	for _, c := range []struct {
		name   string
		do     func(context.Context, *azdo.Account, *azdo.Client) error
		answer string
		want   call
		media  string
	}{
		{"AddPrincipal", func(ctx context.Context, a *azdo.Account, _ *azdo.Client) error {
			e, err := a.AddPrincipal(ctx, "oid", azdo.Basic)
			if e.ID != key || e.AccessLevel.Status != "pending" || e.Principal.Name != "robot" {
				t.Errorf("added %+v", e)
			}
			return err
		}, entitled, call{Method: "POST", Path: "/vsaex/org/_apis/serviceprincipalentitlements",
			Body: `{"accessLevel":{"accountLicenseType":"express","licensingSource":"account"},"servicePrincipal":{"origin":"aad","originId":"oid","subjectKind":"servicePrincipal"}}`}, ""},
		{"SetLicense", func(ctx context.Context, a *azdo.Account, _ *azdo.Client) error {
			_, err := a.SetLicense(ctx, key, azdo.Basic)
			return err
		}, entitled, call{Method: "PATCH", Path: "/vsaex/org/_apis/serviceprincipalentitlements/" + key,
			Body: `[{"from":"","op":"replace","path":"/accessLevel","value":{"accountLicenseType":"express","licensingSource":"account"}}]`}, "application/json-patch+json"},
		{"RemovePrincipal", func(ctx context.Context, a *azdo.Account, _ *azdo.Client) error { return a.RemovePrincipal(ctx, key) }, ``,
			call{Method: "DELETE", Path: "/vsaex/org/_apis/serviceprincipalentitlements/" + key}, ""},
		{"StorageKey", func(ctx context.Context, a *azdo.Account, _ *azdo.Client) error {
			got, err := a.StorageKey(ctx, "aadsp.x")
			if got != key {
				t.Errorf("the key is %q", got)
			}
			return err
		}, `{"value":"` + key + `","_links":{}}`, call{Method: "GET", Path: "/vssps/org/_apis/graph/storagekeys/aadsp.x"}, ""},
		{"SearchDirectory", func(ctx context.Context, a *azdo.Account, _ *azdo.Client) error {
			_, err := a.SearchDirectory(ctx, "oid")
			return err
		}, `{"count":0,"value":[]}`, call{Method: "POST", Path: "/vssps/org/_apis/graph/subjectquery", Body: `{"query":"oid","subjectKind":["User"]}`}, ""},
		{"AssignRole", func(ctx context.Context, _ *azdo.Account, c *azdo.Client) error {
			return c.AssignRole(ctx, 12, key, "Administrator")
		},
			`{"count":1,"value":[{"identity":{"displayName":"robot","id":"` + strings.ToUpper(key) + `"},"role":{"name":"Administrator","allowPermissions":27},"access":"assigned"}]}`,
			call{Method: "PUT", Path: "/org/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/12", Body: `[{"roleName":"Administrator","userId":"` + key + `"}]`}, ""},
		{"RemoveRole", func(ctx context.Context, _ *azdo.Account, c *azdo.Client) error { return c.RemoveRole(ctx, 12, key) }, ``,
			call{Method: "PATCH", Path: "/org/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/12", Body: `["` + key + `"]`}, ""},
		{"AllPoolsAssignments", func(ctx context.Context, _ *azdo.Account, c *azdo.Client) error {
			_, err := c.AllPoolsAssignments(ctx)
			return err
		}, `{"count":0,"value":[]}`, call{Method: "GET", Path: "/org/_apis/securityroles/scopes/distributedtask.globalagentpoolrole/roleassignments/resources/0"}, ""},
		{"SetOpenToAllPipelines", func(ctx context.Context, _ *azdo.Account, c *azdo.Client) error {
			return c.SetOpenToAllPipelines(ctx, "p", 34, true)
		},
			`{"resource":{"type":"queue","id":"34"},"allPipelines":{"authorized":true},"pipelines":[]}`,
			call{Method: "PATCH", Path: "/org/p/_apis/pipelines/pipelinePermissions/queue/34", Body: `{"allPipelines":{"authorized":true}}`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, account := anAccount(t, says(200, asJSON, c.answer))
			if err := c.do(t.Context(), account, s.client); err != nil {
				t.Fatal(err)
			}
			got := s.seen()[1]
			if media := got.Header.Get("Content-Type"); c.media != "" && media != c.media {
				t.Errorf("the body is %q", media)
			}
			c.want.Query, got.Header = url.Values{"api-version": {"7.1-preview.1"}}, nil
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("request (-want +got):\n%s", d)
			}
		})
	}
}

// TestRefusals: a failure may have status 200 (azure-devops-rest.md 4.1, 4.3).
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		answer string
		notYet bool
		says   string
	}{
		{`{"isSuccess":false,"servicePrincipalEntitlement":null,"operationResult":{"isSuccess":false,"errors":[{"key":5000,"value":"VS403283: Could not add user 'oid' at this time."}]}}`, true, "VS403283: Could not add user 'oid' at this time. (key 5000)"},
		{`{"isSuccess":false,"operationResult":{"errors":[{"key":5102,"value":"You are\ntrying"}]}}`, false, "You are trying (key 5102)"},
		{`{"isSuccess":false}`, false, "no reason, only that it did not succeed"},
		{`{"isSuccess":true,"servicePrincipalEntitlement":null}`, false, "no reason, only that it did not succeed"},
		{`{}`, false, "no reason"}, {`null`, false, "no reason"},
	} {
		_, account := anAccount(t, says(200, asJSON, c.answer))
		_, err := account.AddPrincipal(t.Context(), "oid", azdo.Basic)
		var refused *azdo.RefusedError
		if !errors.As(err, &refused) || (azdo.ClassOf(err) == azdo.NotReady) != c.notYet || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.answer, err)
		}
	}
	s, _ := anAccount(t, says(200, asJSON, `{"count":0,"value":[]}`))
	var refused *azdo.RefusedError
	if err := s.client.AssignRole(t.Context(), 12, key, "Administrator"); !errors.As(err, &refused) || azdo.ClassOf(err) == azdo.NotReady {
		t.Errorf("a role for nobody: %v", err)
	}
}

// TestFindPrincipal: the list of users has pages, of which some are empty. One list does not
// end.
func TestFindPrincipal(t *testing.T) {
	_, account := anAccount(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("continuationToken") {
		case "":
			w.Header().Set("X-MS-ContinuationToken", "a+b=")
			says(200, asJSON, `{"count":0,"value":[]}`)(w, r)
		case "a+b=":
			w.Header().Set("X-MS-ContinuationToken", "last")
			says(200, asJSON, `{"count":1,"value":[{"originId":"ONE","applicationId":"APP","displayName":"one","descriptor":"aadsp.one"}]}`)(w, r)
		case "last":
			says(200, asJSON, `{"count":1,"value":[{"originId":"two","applicationId":"other","descriptor":"aadsp.two"}]}`)(w, r)
		}
	})
	for _, c := range []struct {
		id, object string
		found      bool
	}{{"one", "ONE", true}, {"TWO", "two", true}, {"app", "ONE", false}, {"nobody", "", false}} {
		p, found, err := account.FindPrincipal(t.Context(), c.id)
		if err != nil || found != c.found || p.ObjectID != c.object {
			t.Errorf("%s: %+v, %v, %v", c.id, p, found, err)
		}
	}
}

func TestLicences(t *testing.T) {
	for license, enough := range map[azdo.License]bool{azdo.Basic: true, "Advanced": true, "professional": true, "earlyAdopter": true,
		azdo.Stakeholder: false, azdo.NoLicense: false, "": false, "new": false} {
		if license.IsEnough() != enough || license.String() == "" {
			t.Errorf("%q is %v, %v", string(license), license, license.IsEnough())
		}
	}
}

// TestDoRaw: DoRaw returns any answer, and an error if there is none.
func TestDoRaw(t *testing.T) {
	for _, c := range []struct {
		status        int
		kind, body    string
		want          int
		typeKey, fail string
	}{
		{200, asJSON, `{"id":7}`, 200, "", ""}, {204, "", "", 204, "", ""},
		{409, asJSON, `{"message":"no","typeKey":"TaskAgentExistsException"}`, 409, "TaskAgentExistsException", "no"},
		{404, "text/html", "<html>", 404, "", "404"}, {203, "text/html", "<html>", 401, "", "sign-in"},
		{200, asJSON, `{`, 200, "", "is invalid"},
	} {
		s := newServer(t, says(c.status, c.kind, c.body))
		var into struct{ ID int }
		a, err := s.client.DoRaw(t.Context(), azdo.RawRequest{Op: "look", Method: http.MethodGet, Path: "_apis/x", Into: &into})
		if err != nil || a.Status != c.want || a.TypeKey != c.typeKey || (a.Err == nil) != (c.fail == "") || c.fail != "" && !strings.Contains(a.Err.Error(), c.fail) {
			t.Errorf("%d %q: %+v, %v", c.status, c.body, a, err)
		}
	}
	s := newServer(t, says(200, asJSON, `{}`))
	s.Close()
	if a, err := s.client.DoRaw(t.Context(), azdo.RawRequest{Op: "look", Method: http.MethodGet, Path: "_apis/x"}); err == nil || a.Status != 0 {
		t.Errorf("nobody answers: %+v, %v", a, err)
	}
}
