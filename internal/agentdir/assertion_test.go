package agentdir

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := Assertion(key, "client", "https://aud", time.Unix(1_700_000_000, 0), 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(jwt, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["jti"] == "" || claims["iat"] != nil || claims["exp"].(float64)-claims["nbf"].(float64) != 300 ||
		claims["sub"] != "client" || claims["iss"] != "client" || claims["aud"] != "https://aud" {
		t.Errorf("claims %v", claims)
	}
}
