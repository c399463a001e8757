package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/azptend/azptend/internal/identity"
)

// tokenTimeout is long enough for an identity endpoint that is still starting.
const tokenTimeout = 30 * time.Second

var errTokenTimeout = errors.New("no token arrived within 30 seconds")

func checkToken(ctx context.Context, v *run) Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, tokenTimeout, errTokenTimeout)
	defer cancel()
	text, expires, err := v.Tokens.Token(ctx)
	if err != nil {
		return tokenFailure(ctx, err, v.Settings.Identity.Host)
	}
	claims, readable := identity.ClaimsOf(text.Reveal())
	if !readable {
		return Finding{Found: "a personal access token, which contains no details; " + globalPATs}
	}
	if claims.Expires.IsZero() {
		claims.Expires = expires
	}
	v.claims = &claims
	return checkClaims(claims, v.Tokens.Source() == identity.TokenFile, time.Now())
}

// tokenFailure says why there is no token.
func tokenFailure(ctx context.Context, err error, host identity.Host) Finding {
	what := err.Error()
	switch c := explainAt(host, err); {
	case c != nil:
		return failed(c, what)
	case context.Cause(ctx) == errTokenTimeout: //nolint:errorlint // it is the very one
		return failed(NoEndpoint, errTokenTimeout.Error()+": "+what)
	}
	return failed(NoToken, what)
}

// minTokenLifetime is for a token that nothing renews: registering an agent takes seconds,
// unless its name is taken.
const minTokenLifetime = 5 * time.Minute

// checkClaims checks the claims of a token. The server verifies its signature.
func checkClaims(c identity.Claims, fixed bool, now time.Time) Finding {
	left := c.Expires.Sub(now).Round(time.Second)
	life := fmt.Sprintf("%s left", left)
	if c.Expires.IsZero() {
		life = "it does not say when it expires"
	}
	f := Finding{Found: fmt.Sprintf("object id %s, application %s, tenant %s; %s", c.ObjectID, c.ApplicationID, c.Tenant, life)}
	switch {
	case !c.ForDevOps():
		f.add(WrongAudience, fmt.Sprintf("the token is for resource %s, and Azure DevOps is %s", c.Audience, identity.DevOpsResource))
	case !c.Expires.IsZero() && left <= 0:
		f.add(TokenExpired, "the token expired at "+c.Expires.UTC().Format(time.RFC3339))
	case !c.Expires.IsZero() && fixed && left < minTokenLifetime:
		f.add(TokenShort, fmt.Sprintf("the token in the file has %s left", left))
	}
	return f
}
