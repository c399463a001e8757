package azdo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

const bom = "\xef\xbb\xbf"

// fixed is a client that gets the same answer to all requests.
func fixed(status int, header http.Header, body []byte) *azdo.Client {
	return azdo.New("http://server/org", &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Request: r, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		})}, &tokens{}, nil)
}

// FuzzAnswers: for any answer, each call returns a valid result or an error of one line. A
// BOM before the answer changes nothing.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"count":1,"value":[{"id":12,"name":"linux","isHosted":false,"poolType":"automation","options":"none"}]}`,
		`{"count":0,"value":[]}`, `{"value":null}`, `{"value":{"Message":"x"}}`, `[]`, `null`, `"x"`, ``, `{`, `<html>`,
		`{"id":7,"name":"linux","status":"online","createdOn":"2026-11-22T10:20:30.1Z","authorization":{"clientId":"c","authorizationUrl":"https://x","publicKey":{"exponent":"AQAB","modulus":"//4="}},"properties":{"ServerUrl":{"$type":"System.String","$value":"https://x"}}}`,
		`{"id":"7"}`, `{"id":7,"properties":[],"userCapabilities":{"a":null},"assignedRequest":{"requestId":1,"result":null}}`, `{"id":-1,"name":"\u0000"}`,
	} {
		f.Add([]byte(s))
		f.Add([]byte(bom + s))
	}
	header := http.Header{"Content-Type": {asJSON}}
	f.Fuzz(func(t *testing.T, body []byte) {
		plain := bytes.TrimPrefix(body, []byte(bom))
		with := fixed(200, header, append([]byte(bom), plain...))
		without := fixed(200, header, plain)
		ctx := t.Context()
		for _, op := range []struct {
			name string
			do   func(*azdo.Client) (any, error)
		}{
			{"FindPool by name", func(c *azdo.Client) (any, error) { return c.FindPool(ctx, azdo.PoolRef{Name: "linux"}) }},
			{"FindPool by id", func(c *azdo.Client) (any, error) { return c.FindPool(ctx, azdo.PoolRef{ID: 12}) }},
			{"AddAgent", func(c *azdo.Client) (any, error) { return c.AddAgent(ctx, 12, azdo.Agent{Name: "a"}) }},
			{"AgentByName", func(c *azdo.Client) (any, error) {
				a, found, err := c.AgentByName(ctx, 12, "linux")
				if found && !strings.EqualFold(a.Name, "linux") {
					t.Errorf("found %q", a.Name)
				}
				return a, err
			}},
			{"AgentByID with request", func(c *azdo.Client) (any, error) { return c.AgentByID(ctx, 12, 7, azdo.Include{AssignedRequest: true}) }},
			{"AgentByID whole", func(c *azdo.Client) (any, error) {
				return c.AgentByID(ctx, 12, 7, azdo.Include{Capabilities: true, AssignedRequest: true})
			}},
			{"Agents", func(c *azdo.Client) (any, error) { return c.Agents(ctx, 12) }},
			{"Account", func(c *azdo.Client) (any, error) { _, err := c.Account(ctx); return nil, err }},
			{"RoleAssignments", func(c *azdo.Client) (any, error) { return c.RoleAssignments(ctx, 12) }},
			{"AssignRole", func(c *azdo.Client) (any, error) { return nil, c.AssignRole(ctx, 12, "key", "Administrator") }},
			{"QueueOf", func(c *azdo.Client) (any, error) {
				q, found, err := c.QueueForPool(ctx, "p", 12)
				if found && (q.ID == 0 || q.Pool.ID != 12) {
					t.Errorf("found %+v", q)
				}
				return q, err
			}},
			{"OpenToAll", func(c *azdo.Client) (any, error) { return c.OpenToAllPipelines(ctx, "p", 3) }},
			{"JobRequests", func(c *azdo.Client) (any, error) { return c.JobRequests(ctx, 12, 0) }},
		} {
			got, err := op.do(without)
			again, errAgain := op.do(with)
			if (err == nil) != (errAgain == nil) {
				t.Errorf("%s: a BOM makes %v of %v", op.name, errAgain, err)
			}
			one, _ := json.Marshal(got)
			two, _ := json.Marshal(again)
			if err == nil && !bytes.Equal(one, two) {
				t.Errorf("%s: a BOM makes %s of %s", op.name, two, one)
			}
			switch got := got.(type) {
			case azdo.Agent:
				if err == nil && got.ID == 0 && op.name != "AgentByName" { // which may find none
					t.Errorf("%s: an agent without an id", op.name)
				}
			case azdo.Pool:
				if err == nil && got.ID == 0 {
					t.Errorf("%s: a pool without an id", op.name)
				}
			}
			if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1200) {
				t.Errorf("%s says %q", op.name, err)
			}
		}
	})
}

// FuzzUsers: the same for the calls about users.
func FuzzUsers(f *testing.F) {
	for _, s := range []string{
		`{"isSuccess":true,"servicePrincipalEntitlement":{"id":"k","accessLevel":{"accountLicenseType":"express","status":"pending"},"projectEntitlements":[{"projectRef":{"id":"p","name":"web"}}]}}`,
		`{"isSuccess":false,"operationResult":{"errors":[{"key":5000,"value":"VS403283: \n"}]}}`, `{"isSuccess":false,"operationResults":[{"errors":[]}]}`,
		`{"id":"k","accessLevel":null}`, `{"value":"k"}`, `{"value":[{"originId":"oid","applicationId":"k"}]}`, `{"value":[null]}`, `null`, `[]`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	areas := `{"value":[{"id":"` + areaMembers + `","locationUrl":"http://server/vsaex/org"},{"id":"` + areaGraph + `","locationUrl":"http://server/vssps/org"}]}`
	f.Fuzz(func(t *testing.T, body []byte) {
		ctx := t.Context()
		client := azdo.New("http://server/org", &http.Client{Transport: answering(func(r *http.Request) *http.Response {
			answer := body
			if strings.HasSuffix(r.URL.Path, "/ResourceAreas") {
				answer = []byte(areas)
			}
			return &http.Response{StatusCode: 200, Request: r, Header: http.Header{"Content-Type": {asJSON}}, Body: io.NopCloser(bytes.NewReader(answer))}
		})}, &tokens{}, nil)
		account, err := client.Account(ctx)
		if err != nil {
			t.Fatal(err)
		}
		added, errAdded := account.AddPrincipal(ctx, "oid", azdo.Basic)
		found, is, errFound := account.FindPrincipal(ctx, "oid")
		key, errKey := account.StorageKey(ctx, "aadsp.x")
		seen, errSeen := account.Entitlement(ctx, "k")
		if errAdded == nil && added.ID == "" || is && found.ObjectID == "" || errKey == nil && key == "" || errSeen == nil && !strings.EqualFold(seen.ID, "k") {
			t.Errorf("added %+v, found %+v %v, key %q, seen %+v", added, found, is, key, seen)
		}
		for _, err := range []error{errAdded, errFound, errKey, errSeen} {
			if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1200) {
				t.Errorf("it says %q", err)
			}
		}
	})
}

// FuzzRetryAfter: for any header, the pause is neither negative nor longer than the maximum.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "30", "1.5", "-1", "1e300", "NaN", "+Inf", "0x10", " 5", "5 s", "Sun, 22 Nov 2026 23:00:00 GMT", "Sun, 22 Nov 9999 23:00:00 GMT",
		"Sunday, 22-Nov-26 23:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, err := fixed(503, http.Header{"Retry-After": {value}}, nil).AgentByID(t.Context(), 1, 2, azdo.Include{AssignedRequest: true})
		var e *azdo.Error
		if !errors.As(err, &e) || e.RetryAfter < 0 {
			t.Fatalf("%q: %v, %+v", value, err, e)
		}
		if strings.Trim(value, "0123456789") == "" && value != "" && len(value) < 6 {
			if seconds, _ := time.ParseDuration(value + "s"); e.RetryAfter != seconds {
				t.Errorf("%q is %v", value, e.RetryAfter)
			}
		}
	})
}

// FuzzThrottle: for any headers, durations are valid and texts fit into one line of the log.
func FuzzThrottle(f *testing.F) {
	f.Add("resource", "200", "0", "1.234", "1795377600", "30")
	f.Add("two\nlines", "", "many", "-1", "0", "")
	f.Add("", "1e9", "NaN", "NaN", "99999999999999999999", "Mon, 01 Jan 2001 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, resource, limit, remaining, delay, reset, after string) {
		h := http.Header{
			"X-Ratelimit-Resource": {resource}, "X-Ratelimit-Limit": {limit}, "X-Ratelimit-Remaining": {remaining},
			"X-Ratelimit-Delay": {delay}, "X-Ratelimit-Reset": {reset}, "Retry-After": {after}, "Content-Type": {"application/json"},
		}
		var seen azdo.Throttle
		c := azdo.New("http://server", &http.Client{Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: 200, Request: r, Header: h, Body: io.NopCloser(strings.NewReader(`{"id":7}`))}
		})}, &tokens{}, func(o azdo.Observation) { seen = o.Throttle })
		if err := c.SetEnabled(t.Context(), 12, 7, false); err != nil {
			t.Fatal(err)
		}
		if seen.Delay < 0 || seen.RetryAfter < 0 || strings.ContainsAny(seen.Resource+seen.Limit+seen.Remaining, "\r\n") || len(seen.Resource) > 500 {
			t.Errorf("%+v", seen)
		}
	})
}
