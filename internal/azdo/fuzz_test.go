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

// fixed is a client whose every request gets one answer.
func fixed(status int, header http.Header, body []byte) *azdo.Client {
	return azdo.New("http://server/org", &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Request: r, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		})}, &tokens{}, nil)
}

// FuzzAnswers: whatever stands in an answer's place, each call has a result that
// can be acted on or an error of one line; and a BOM before it changes nothing.
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
			{"PoolByName", func(c *azdo.Client) (any, error) { return c.PoolByName(ctx, "linux") }},
			{"PoolByID", func(c *azdo.Client) (any, error) { return c.PoolByID(ctx, 12) }},
			{"AddAgent", func(c *azdo.Client) (any, error) { return c.AddAgent(ctx, 12, azdo.Agent{Name: "a"}) }},
			{"AgentByName", func(c *azdo.Client) (any, error) {
				a, found, err := c.AgentByName(ctx, 12, "linux")
				if found && !strings.EqualFold(a.Name, "linux") {
					t.Errorf("found %q", a.Name)
				}
				return a, err
			}},
			{"AgentWithRequest", func(c *azdo.Client) (any, error) { return c.AgentWithRequest(ctx, 12, 7) }},
			{"AgentWhole", func(c *azdo.Client) (any, error) { return c.AgentWhole(ctx, 12, 7) }},
			{"Agents", func(c *azdo.Client) (any, error) { return c.Agents(ctx, 12) }},
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

// FuzzRetryAfter: the server's wish is a length of time that can be waited for,
// whatever form it comes in.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "30", "1.5", "-1", "1e300", "NaN", "+Inf", "0x10", " 5", "5 s", "Sun, 22 Nov 2026 23:00:00 GMT", "Sun, 22 Nov 9999 23:00:00 GMT",
		"Sunday, 22-Nov-26 23:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, err := fixed(503, http.Header{"Retry-After": {value}}, nil).AgentWithRequest(t.Context(), 1, 2)
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
