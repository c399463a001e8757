package selftest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

// agentToken is the Authorizer of the agent itself: its token, which is not renewed.
type agentToken string

func (o agentToken) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New("Bearer " + string(o)), nil
}

// maxToken bounds an answer of the token endpoint.
const maxToken = 1 << 20

// exchange shows an assertion to the agents' token endpoint: a token, or how it was
// refused. The error is that there was no answer.
func exchange(ctx context.Context, web *http.Client, endpoint, proof string) (token, refusal string, err error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion": {proof},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", fmt.Errorf("cannot ask for the agent's token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		return "", "", fmt.Errorf("cannot ask for the agent's token: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", "", fmt.Errorf("cannot read the agent's token: %w", err)
	}
	token, refusal = parseToken(resp.StatusCode, body)
	return token, refusal, nil
}

// parseToken reads the answer. A refusal is its status and its code, without the
// sentence, which may name things.
func parseToken(status int, body []byte) (token, refusal string) {
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	_ = json.Unmarshal([]byte(strings.TrimPrefix(string(body), "\ufeff")), &answer)
	if status == http.StatusOK && answer.Token != "" {
		return answer.Token, ""
	}
	code := strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' {
			return r
		}
		return -1
	}, answer.Error)
	if len(code) > 40 {
		code = code[:40]
	}
	return "", strings.TrimSpace(fmt.Sprintf("%d %s", status, code))
}
