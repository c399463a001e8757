package emulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var b64url = base64.RawURLEncoding

// sign makes an RS256 JWT of claims: an Entra token, or the access token of an agent or a job.
func (e *Emulator) sign(claims any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("cannot encode claims: %w", err)
	}
	signed := b64url.EncodeToString([]byte(`{"typ":"JWT","alg":"RS256","kid":"emulator"}`)) + "." + b64url.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, e.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign a token: %w", err)
	}
	return signed + "." + b64url.EncodeToString(sig), nil
}

// jwt is a token taken apart. Nothing in it is proven before verify or isSignedBy.
type jwt struct {
	head      jwtHead
	claims    jwtClaims
	signed    string
	signature []byte
}

type jwtHead struct {
	Alg        string `json:"alg"`
	Thumbprint string `json:"x5t#S256"` // of the certificate that signed an application's client assertion
}

// jwtClaims are all the claims the emulator reads, of every kind of token.
type jwtClaims struct {
	Issuer    string  `json:"iss"`
	Subject   string  `json:"sub"`
	Audience  string  `json:"aud"`
	ID        string  `json:"jti"`
	NotBefore float64 `json:"nbf"`
	Expires   float64 `json:"exp"`
	ObjectID  string  `json:"oid"`
	Tenant    string  `json:"tid"`
	Kind      string  `json:"emu_kind"` // what the emulator itself issued: "agent" or "job"; Entra tokens have none
	PoolID    int     `json:"emu_pool"`
	AgentID   int     `json:"emu_agent"`
	JobID     string  `json:"emu_job"`
}

var errNotJWT = errors.New("not an RS256 JWT")

// parseJWT takes a token apart. The error is errNotJWT, wrapped with the part that is wrong.
func parseJWT(s string) (*jwt, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return nil, errNotJWT
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := b64url.DecodeString(p)
		if err != nil {
			return nil, fmt.Errorf("%w: part %d is not base64url", errNotJWT, i+1)
		}
		raw[i] = b
	}
	t := &jwt{signed: parts[0] + "." + parts[1], signature: raw[2]}
	if err := json.Unmarshal(raw[0], &t.head); err != nil {
		return nil, fmt.Errorf("%w: its header is no JSON", errNotJWT)
	}
	if err := json.Unmarshal(raw[1], &t.claims); err != nil {
		return nil, fmt.Errorf("%w: its payload is no set of claims", errNotJWT)
	}
	return t, nil
}

func (t *jwt) verify(key *rsa.PublicKey) bool {
	sum := sha256.Sum256([]byte(t.signed))
	return t.head.Alg == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], t.signature) == nil
}

// names says whether the header names the certificate with this SHA-256. RFC 7515 wants base64url; Microsoft's Go
// library writes plain base64, and Entra ID takes it.
func (h jwtHead) names(sum []byte) bool {
	return h.Thumbprint == b64url.EncodeToString(sum) || h.Thumbprint == base64.StdEncoding.EncodeToString(sum)
}

// isSignedBy checks a PS256 signature, as Microsoft's libraries make it with a certificate.
func (t *jwt) isSignedBy(certificate *x509.Certificate) bool {
	key, isRSA := certificate.PublicKey.(*rsa.PublicKey)
	sum := sha256.Sum256([]byte(t.signed))
	return isRSA && t.head.Alg == "PS256" && rsa.VerifyPSS(key, crypto.SHA256, sum[:], t.signature, nil) == nil
}
