package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// entraTransport is the SDK's way to Entra ID. It leaves what went wrong where the
// caller finds it, as endpoint does.
type entraTransport struct{ http *http.Client }

// Do implements policy.Transporter.
func (e *entraTransport) Do(r *http.Request) (*http.Response, error) {
	resp, err := e.http.Do(r)
	if err != nil {
		err = fmt.Errorf("cannot reach Entra ID at %s: %w", r.URL.Host, withoutURL(err))
		recordError(r.Context(), err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	resp.Body.Close()
	if err != nil {
		err = fmt.Errorf("cannot read Entra ID's answer: %w", err)
		recordError(r.Context(), err)
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if problem := entraError(r, resp, body); problem != nil {
		recordError(r.Context(), problem)
		if problem.NoToken {
			return nil, problem
		}
	}
	return resp, nil
}

// entraError is what is wrong with an answer, nil for none.
func entraError(r *http.Request, resp *http.Response, body []byte) *EndpointError {
	var answer struct {
		Token string `json:"access_token"`
	}
	asked := r.Method == http.MethodPost
	if resp.StatusCode == http.StatusOK && (!asked || json.Unmarshal(body, &answer) == nil && checkToken(answer.Token) == nil) {
		return nil
	}
	problem := parseError(resp, body)
	problem.Endpoint, problem.NoToken = "Entra ID", resp.StatusCode == http.StatusOK
	// "AADSTS700016: … Trace ID: … Correlation ID: … Timestamp: …": the sentence is
	// for a person, one of the ids for support.
	problem.Message, _, _ = strings.Cut(problem.Message, " Trace ID:")
	return problem
}
