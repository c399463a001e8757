package selftest

import (
	"strings"
	"testing"
)

// FuzzToken: whatever the token endpoint answers, there is a token or a refusal of
// one line that can stand in a report.
func FuzzToken(f *testing.F) {
	for _, s := range []string{`{"access_token":"t","expires_in":1}`, `{"error":"invalid_client","error_description":"Registration x was not found."}`,
		`{"error":"a\nb"}`, `{"access_token":""}`, `<html>`, ``, `null`, "\ufeff{\"access_token\":\"t\"}", `{"error":7}`} {
		f.Add(200, []byte(s))
		f.Add(400, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		token, refusal := parseToken(status, body)
		if (token == "") == (refusal == "") || status != 200 && token != "" {
			t.Errorf("token %q, refusal %q", token, refusal)
		}
		if strings.ContainsAny(refusal, "\r\n") || len(refusal) > 70 {
			t.Errorf("the refusal is %q", refusal)
		}
	})
}
