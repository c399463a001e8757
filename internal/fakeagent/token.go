package fakeagent

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
)

// assertionLife is the longest lifetime that the server accepts (7.1).
const assertionLife = 5 * time.Minute

// tokenSource gets access tokens with the agent's key, and caches the last one.
type tokenSource struct {
	http  *http.Client
	creds credentialsFile
	key   *rsa.PrivateKey

	mu      sync.Mutex
	token   string
	renewAt time.Time
}

// tokenError is a refusal by the token endpoint.
type tokenError struct {
	status            int
	code, description string
}

func (e *tokenError) Error() string {
	if e.description != "" {
		return e.description
	}
	return fmt.Sprintf("the token endpoint answered %d %s", e.status, e.code)
}

// isClockSkew reports whether the clocks differ too much. Only the text of the answer shows that
// (5.5).
func (e *tokenError) isClockSkew() bool {
	return strings.Contains(e.description, "Current server time is")
}

// isClientGone reports whether the registration with the client id no longer exists (6: "token
// refused").
func isClientGone(err error) bool {
	var token *tokenError
	return errors.As(err, &token) && token.code == "invalid_client" && !token.isClockSkew()
}

// bearer returns the token. It gets a new one with fresh, or if the old one expires soon.
func (t *tokenSource) bearer(ctx context.Context, fresh bool) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !fresh && t.token != "" && time.Now().Before(t.renewAt) {
		return t.token, nil
	}
	token, life, err := t.fetch(ctx)
	if err != nil {
		return "", err
	}
	t.token, t.renewAt = token, time.Now().Add(life*4/5)
	return token, nil
}

func (t *tokenSource) fetch(ctx context.Context) (string, time.Duration, error) {
	assertion, err := agentdir.Assertion(t.key, t.creds.Data.ClientID, t.creds.Data.AuthorizationURL, time.Now(), assertionLife)
	if err != nil {
		return "", 0, err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.creds.Data.OAuthEndpointURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("cannot ask for a token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := t.http.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("cannot ask for a token: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", 0, fmt.Errorf("cannot ask for a token: %w", err)
	}
	return parseToken(res.StatusCode, body)
}

func parseToken(status int, body []byte) (string, time.Duration, error) {
	var answer struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"` // a string on some servers
		Error       string      `json:"error"`
		Description string      `json:"error_description"`
	}
	parsed := json.Unmarshal(withoutBOM(body), &answer)
	if status != http.StatusOK {
		if status >= 500 {
			return "", 0, &serverError{status: status, message: answer.Description}
		}
		return "", 0, &tokenError{status: status, code: answer.Error, description: answer.Description}
	}
	if parsed != nil || answer.AccessToken == "" {
		return "", 0, fmt.Errorf("cannot ask for a token: the answer holds none")
	}
	seconds, err := answer.ExpiresIn.Int64()
	if err != nil || seconds <= 0 {
		seconds = int64((10 * time.Minute).Seconds())
	}
	return answer.AccessToken, time.Duration(seconds) * time.Second, nil
}
