package emulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// jwtHead is the header of an application's client assertion.
type jwtHead struct {
	Alg        string `json:"alg"`
	Thumbprint string `json:"x5t#S256"`
}

// peek takes a JWT apart without believing any of it.
func peek(s string) (head jwtHead, claims jwtClaims, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return head, claims, false
	}
	for i, into := range []any{&head, &claims} {
		b, err := b64url.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return head, claims, false
		}
	}
	return head, claims, true
}

// names says whether the header names the certificate with this SHA-256. RFC 7515 wants base64url; Microsoft's Go
// library writes plain base64, and Entra ID takes it.
func (h jwtHead) names(sum []byte) bool {
	return h.Thumbprint == b64url.EncodeToString(sum) || h.Thumbprint == base64.StdEncoding.EncodeToString(sum)
}

// verifies checks a PS256 signature, which is what Microsoft's libraries make with a certificate.
func (h jwtHead) verifies(certificate *x509.Certificate, s string) bool {
	key, isRSA := certificate.PublicKey.(*rsa.PublicKey)
	at := strings.LastIndexByte(s, '.')
	signature, err := b64url.DecodeString(s[at+1:])
	if !isRSA || err != nil || h.Alg != "PS256" {
		return false
	}
	sum := sha256.Sum256([]byte(s[:at]))
	return rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil) == nil
}
