package fakeagent

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// assertionLife is the longest life the server takes (7.1).
const assertionLife = 5 * time.Minute

// tokenSource proves the agent's key and keeps the access token it gets for it.
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

// isClockSkew: the server says so only in words (5.5).
func (e *tokenError) isClockSkew() bool {
	return strings.Contains(e.description, "Current server time is")
}

// isClientGone: the registration behind the client id does not exist any more
// (6: "token refused").
func (e *tokenError) isClientGone() bool { return e.code == "invalid_client" && !e.isClockSkew() }

// bearer returns the token, a new one when asked or when the old one nears its
// end.
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
	assertion, err := t.assertion(time.Now())
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
		ExpiresIn   json.Number `json:"expires_in"` // some servers quote it
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

// assertion is the signed proof that we hold the agent's key (7.1): no iat, no
// kid, and a life of exactly what the server allows.
func (t *tokenSource) assertion(now time.Time) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"sub": t.creds.Data.ClientID,
		"iss": t.creds.Data.ClientID,
		"aud": t.creds.Data.AuthorizationURL,
		"jti": newGUID(),
		"nbf": now.Unix(),
		"exp": now.Unix() + int64(assertionLife.Seconds()),
	})
	if err != nil {
		return "", fmt.Errorf("cannot make a client assertion: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) +
		"." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, t.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign a client assertion: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
