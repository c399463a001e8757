package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/identity"
)

// tokenPatience is how long a token is waited for. An identity endpoint that is
// still starting answers within it, or run would not have waited in vain either;
// a machine without one is known at the first try.
const tokenPatience = 30 * time.Second

var errTokenLate = errors.New("no token came within 30 seconds")

func lookAtToken(ctx context.Context, v *visit) result {
	if v.alone() {
		return notNeeded("no token is needed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tokenPatience, errTokenLate)
	defer cancel()
	text, expires, err := v.Identity.Who.Token(ctx)
	if err != nil {
		return noToken(ctx, err, v.Identity.Host)
	}
	claims, readable := identity.ClaimsOf(text.Reveal())
	if !readable {
		return ok("it is no Entra token, and says nothing of itself: a personal access token")
	}
	if claims.Expires.IsZero() {
		claims.Expires = expires
	}
	v.claims = &claims
	return aboutClaims(claims, v.Identity.Who.Source() == identity.TokenFile, time.Now())
}

// noToken says why there is none.
func noToken(ctx context.Context, err error, host string) result {
	what := err.Error()
	switch c, known := Explain(err); {
	case c.Cause == WrongHeader && host == theMetadataService: // which wants no secret
		return wrong(problem(NotAssigned, what))
	case known:
		return wrong(problem(c.Cause, what))
	case context.Cause(ctx) == errTokenLate: //nolint:errorlint // it is the very one
		return wrong(problem(NoEndpoint, errTokenLate.Error()+": "+what))
	case strings.Contains(what, "cannot reach the identity endpoint"):
		return wrong(problem(NoEndpoint, what))
	}
	return wrong(problem(NoToken, what))
}

// theMetadataService is config's word for the host that hands out tokens to
// whoever can reach it.
const theMetadataService = "the metadata service"

// enoughLife is what a token needs that nothing renews: to register an agent
// takes seconds, but for a name that is waited for.
const enoughLife = 5 * time.Minute

// aboutClaims judges what a token says of itself. Nothing of it is verified here:
// the server does that.
func aboutClaims(c identity.Claims, fixed bool, now time.Time) result {
	left := c.Expires.Sub(now).Round(time.Second)
	life := fmt.Sprintf("%s left", left)
	if c.Expires.IsZero() {
		life = "it does not say for how long"
	}
	r := ok(fmt.Sprintf("object id %s, application %s, tenant %s; %s", c.ObjectID, c.ApplicationID, c.Tenant, life))
	switch {
	case !c.ForDevOps():
		r = r.with(problem(WrongAudience, fmt.Sprintf("the token is for %s, and Azure DevOps is %s", c.Audience, identity.DevOpsResource)))
	case !c.Expires.IsZero() && left <= 0:
		r = r.with(problem(TokenExpired, "the token expired at "+c.Expires.UTC().Format(time.RFC3339)))
	case !c.Expires.IsZero() && fixed && left < enoughLife:
		r = r.with(problem(TokenShort, fmt.Sprintf("the token in the file has %s left", left)))
	}
	return r
}
