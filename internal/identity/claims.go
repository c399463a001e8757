package identity

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Claims are what an Entra token says of itself. Nothing in them is verified:
// they are for a person's eyes, and for a token's own expiry (reference/identity.md 5).
type Claims struct {
	Audience      string    // whom it is for
	Tenant        string    // whose it is
	ObjectID      string    // what is added to the organisation
	ApplicationID string    // the client id
	ResourceID    string    // the managed identity's Azure resource, or the machine's; "" for others
	Expires       time.Time // zero where it does not say
}

// ClaimsOf reads a token; ok is false where it is no JWT: a PAT, or a token that
// is none of our business.
func ClaimsOf(token string) (c Claims, ok bool) {
	raw := parseClaims(token)
	if raw == nil {
		return Claims{}, false
	}
	c = Claims{
		Audience: text(raw["aud"]), Tenant: text(raw["tid"]), ObjectID: text(raw["oid"]),
		ApplicationID: text(raw["appid"]), ResourceID: text(raw["xms_mirid"]),
	}
	if c.ApplicationID == "" {
		c.ApplicationID = text(raw["azp"]) // version 2's name for it
	}
	if seconds := raw.expires(); seconds > 0 {
		c.Expires = time.Unix(seconds, 0).UTC()
	}
	return c, true
}

// ForDevOps says that a token is for Azure DevOps, by either of its names.
func (c Claims) ForDevOps() bool {
	switch strings.TrimSuffix(strings.ToLower(c.Audience), "/") {
	case DevOpsResource, "https://app.vssps.visualstudio.com":
		return true
	}
	return false
}

type rawClaims map[string]json.RawMessage

// parseClaims takes the claims out of a JWT, nil where it is none.
func parseClaims(token string) rawClaims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims rawClaims
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	return claims
}

// expires is the exp claim, in seconds since 1970; 0 for none that makes sense.
func (c rawClaims) expires() int64 {
	var exp float64
	if json.Unmarshal(c["exp"], &exp) != nil || exp < 1 || exp > 1e11 {
		return 0
	}
	return int64(exp)
}
