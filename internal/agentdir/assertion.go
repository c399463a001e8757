package agentdir

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Assertion returns a client assertion, signed with the agent's key, for the agents' token
// endpoint (agent-protocol.md 7.1). Like that of Microsoft's listener, it has no iat and no
// kid.
func Assertion(key *rsa.PrivateKey, client, audience string, now time.Time, life time.Duration) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"sub": client, "iss": client, "aud": audience, "jti": NewGUID(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("cannot make a client assertion: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign a client assertion: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// NewGUID returns a random version 4 GUID.
func NewGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
