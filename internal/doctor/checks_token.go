package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/azptend/azptend/internal/identity"
)

// tokenTimeout is how long a token is waited for. An identity endpoint that is
// still starting answers within it, or run would not have waited in vain either;
// a machine without one is known at the first try.
const tokenTimeout = 30 * time.Second

var errTokenTimeout = errors.New("no token arrived within 30 seconds")

func checkToken(ctx context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("no token is needed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tokenTimeout, errTokenTimeout)
	defer cancel()
	text, expires, err := v.Identity.Source.Token(ctx)
	if err != nil {
		return tokenFailure(ctx, err, v.Identity.Host)
	}
	claims, readable := identity.ClaimsOf(text.Reveal())
	if !readable {
		return ok("a personal access token, which contains no details; " + globalPATs)
	}
	if claims.Expires.IsZero() {
		claims.Expires = expires
	}
	v.claims = &claims
	return checkClaims(claims, v.Identity.Source.Source() == identity.TokenFile, time.Now())
}

// tokenFailure says why there is none.
func tokenFailure(ctx context.Context, err error, host string) result {
	what := err.Error()
	switch c, known := Explain(err); {
	case c.Cause == WrongHeader && host == metadataService: // which wants no secret
		return failedWith(problem(NotAssigned, what))
	case known:
		return failedWith(problem(c.Cause, what))
	case context.Cause(ctx) == errTokenTimeout: //nolint:errorlint // it is the very one
		return failedWith(problem(NoEndpoint, errTokenTimeout.Error()+": "+what))
	}
	return failedWith(problem(NoToken, what))
}

// metadataService is config's word for the host that hands out tokens to
// whoever can reach it.
const metadataService = "the metadata service"

// minTokenLifetime is what a token needs that nothing renews: to register an agent
// takes seconds, but for a name that is waited for.
const minTokenLifetime = 5 * time.Minute

// checkClaims judges what a token says of itself. Nothing of it is verified here:
// the server does that.
func checkClaims(c identity.Claims, fixed bool, now time.Time) result {
	left := c.Expires.Sub(now).Round(time.Second)
	life := fmt.Sprintf("%s left", left)
	if c.Expires.IsZero() {
		life = "it does not say when it expires"
	}
	r := ok(fmt.Sprintf("object id %s, application %s, tenant %s; %s", c.ObjectID, c.ApplicationID, c.Tenant, life))
	switch {
	case !c.ForDevOps():
		r = r.with(problem(WrongAudience, fmt.Sprintf("the token is for resource %s, and Azure DevOps is %s", c.Audience, identity.DevOpsResource)))
	case !c.Expires.IsZero() && left <= 0:
		r = r.with(problem(TokenExpired, "the token expired at "+c.Expires.UTC().Format(time.RFC3339)))
	case !c.Expires.IsZero() && fixed && left < minTokenLifetime:
		r = r.with(problem(TokenShort, fmt.Sprintf("the token in the file has %s left", left)))
	}
	return r
}
