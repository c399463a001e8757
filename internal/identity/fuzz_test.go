package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzAnswer feeds identity endpoints' answers to what reads them: an answer
// either holds a token that the SDK may see, or becomes an error that quotes at
// most a sentence of it, on one line.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a.b.c","expires_on":"1586984735"}`, `null`, `[]`, ``, `{"access_token":null}`,
		`{"statusCode":400,"message":"no","correlationId":"c"}`, `{"error":"invalid_request","error_description":"Identity not found"}`,
		`{"error":{"code":"DefaultIdentityNotDefined","message":"none"}}`, `{"error":"invalid_client","error_description":"AADSTS7000215: x Trace ID: y","correlation_id":"z"}`,
		"<html>\x00\xff</html>", `{"message":"eyJhbGciOi.eyJ.abc"}`,
	} {
		for _, status := range []int{200, 202, 400, 410, 500} {
			f.Add(status, "application/json", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(string(body)))}
		resp, err := checkResponse(resp)
		if err == nil {
			var answer struct {
				Token string `json:"access_token"`
			}
			if json.NewDecoder(resp.Body).Decode(&answer) != nil || CheckToken(answer.Token) != nil {
				t.Errorf("the SDK would take %q for a token", body)
			}
			return
		}
		var answer *EndpointError
		if !errors.As(err, &answer) {
			t.Fatalf("error is %T", err)
		}
		if said := err.Error(); len(said) > 1000 || strings.ContainsAny(said, "\n\r<>") || !utf8.ValidString(said) {
			t.Errorf("says %q", said)
		}
	})
}

// FuzzExpiresOn: whatever an endpoint writes for expires_on, a token that says
// itself when it expires gets there with that time, as a number.
func FuzzExpiresOn(f *testing.F) {
	for _, form := range []string{`"1586984735"`, `1586984735`, `"11/05/2021 15:18:31 +00:00"`, `"1/16/2020 5:24:12 AM +00:00"`, `"soon"`, `null`, `{}`, `1e400`} {
		f.Add(form, int64(1700000000))
	}
	f.Fuzz(func(t *testing.T, form string, expires int64) {
		if !json.Valid([]byte(form)) || expires < 1 || expires > 1e11 {
			return
		}
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"exp":` + strconv.FormatInt(expires, 10) + `}`))
		body := `{"expires_in":"28799","expires_on":` + form + `,"access_token":"e30.` + claims + `.c2ln"}`
		resp, err := checkResponse(&http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))})
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer["expires_on"] != float64(expires) || answer["expires_in"] != nil {
			t.Errorf("%s becomes %v, %v", form, answer, err)
		}
	})
}

// FuzzClaims: nothing that is called a token breaks its reader, and what it does
// not say stays empty.
func FuzzClaims(f *testing.F) {
	for _, payload := range []string{
		`{"aud":"499b84ac-1321-427f-aa17-267ca6975798","tid":"t","oid":"o","appid":"a","xms_mirid":"/subscriptions/x","exp":1700000000}`,
		`{"azp":"a","aud":["list"],"exp":"text"}`, `{"exp":1e400}`, `{"exp":-1}`, `null`, `[]`, ``,
	} {
		f.Add("e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln")
	}
	f.Add("a.b.c")
	f.Add(strings.Repeat(".", 100))
	f.Fuzz(func(t *testing.T, token string) {
		claims, ok := ClaimsOf(token)
		if !ok && claims != (Claims{}) {
			t.Errorf("%q is no token, and says %+v", token, claims)
		}
		if !claims.Expires.IsZero() && (claims.Expires.Year() < 1970 || claims.Expires.After(time.Unix(1e11, 0))) {
			t.Errorf("%q expires %s", token, claims.Expires)
		}
		if claims.ForDevOps() && claims.Audience == "" {
			t.Errorf("%q is for nobody", token)
		}
	})
}
