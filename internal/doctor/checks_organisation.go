package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

// checkSignIn asks Azure DevOps who this is. What it says of the organisation's
// members is left to the next check: a token that is taken, and an identity that
// is not known, are two things.
func checkSignIn(ctx context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("the agent logs on with its own key")
	}
	if v.Server == nil {
		return blockedBySettings("the settings do not name both an organisation and an identity")
	}
	user, err := v.Server.WhoAmI(ctx)
	v.user = user
	switch c, _ := Explain(err); {
	case err == nil:
		return ok("Azure DevOps accepts the token")
	case c.Check == Membership:
		v.membershipErr = err
		return ok("Azure DevOps accepts the token")
	case c.Cause == Refused && v.claims == nil && v.canListPools(ctx):
		v.ownerHidden = true
		return ok("Azure DevOps accepts the token for pools; the token's scopes do not let it show the owner")
	case c.Check == SignIn:
		return failedWith(problem(c.Cause, err.Error()))
	default:
		return failedWith(Problem{NotSignedIn, err.Error(), c.Fix})
	}
}

// canListPools tries whether a personal access token does what it is for: with the
// scope for pools alone it was seen to be refused elsewhere (agent-protocol.md 10,
// 2nd surprise).
func (v *run) canListPools(ctx context.Context) bool {
	_, err := v.Server.Pools(ctx)
	return err == nil
}

func checkMembership(_ context.Context, v *run) result {
	switch {
	case v.isPreregistered():
		return notNeeded("the agent logs on with its own key")
	case v.membershipErr != nil:
		c, _ := Explain(v.membershipErr)
		return failedWith(problem(c.Cause, v.membershipErr.Error()))
	case v.ownerHidden:
		return notNeeded("an accepted token belongs to a user")
	case v.user.Anonymous():
		return failedWith(problem(Unrecognised, fmt.Sprintf("Azure DevOps treats the caller as anonymous: the user is %s (%s)", firstName(v.user.Name, "nobody"), firstName(v.user.ID, "no id"))))
	}
	r := ok(fmt.Sprintf("%s, a %s of the organisation (id %s there)", v.user.Name, v.user.Kind(), v.user.ID))
	if object := v.user.ObjectID(); object != "" && v.claims != nil && v.claims.ObjectID != "" && !strings.EqualFold(object, v.claims.ObjectID) {
		r.found += fmt.Sprintf("; the token says object id %s, and Azure DevOps %s", v.claims.ObjectID, object)
	}
	return r
}

// checkLicence asks for the identity's own licence. Whether an identity without
// further rights may see it nobody could verify: not to be told is no failure.
func checkLicence(ctx context.Context, v *run) result {
	switch {
	case v.isPreregistered():
		return notNeeded("agents need none")
	case v.user.ObjectID() == "":
		return notNeeded("only the licences of service principals and managed identities are checked")
	}
	e, err := v.Licence(ctx, v.user.ID)
	switch {
	case errors.Is(err, azdo.ErrAzureDevOpsServer):
		return notNeeded("Azure DevOps Server has no such licences")
	case err != nil:
		return notNeeded(fmt.Sprintf("Azure DevOps does not show it (%v); an administrator can see it (%s)", err, usersPage))
	}
	v.licence, v.licenceKnown = e.AccessLevel.License, true
	has := fmt.Sprintf("the licence is %v", v.licence)
	switch {
	case !v.licence.IsEnough() && strings.EqualFold(string(v.licence), string(azdo.Stakeholder)):
		return failedWith(problem(Stakeholder, has))
	case !v.licence.IsEnough():
		return failedWith(problem(NoLicence, has))
	case strings.EqualFold(e.AccessLevel.Status, "pending"):
		return failedWith(problem(LicencePending, has+", and is not active yet"))
	}
	return ok(has)
}

func checkPool(ctx context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("the agent's own files name it")
	}
	var err error
	if v.pool, err = v.findPool(ctx); err == nil {
		return ok(fmt.Sprintf("%q is pool %d", v.pool.Name, v.pool.ID))
	}
	c, known := Explain(err)
	if !known || c.Check != Pool {
		return failedWith(Problem{PoolUnknown, err.Error(), c.Fix})
	}
	if c.Cause == NoPools && v.licenceKnown && !v.licence.IsEnough() {
		return failedWith(problem(NoPoolsLicence, fmt.Sprintf("%v; its licence is %v", err, v.licence)))
	}
	p := problem(c.Cause, err.Error())
	var seen *azdo.NoPoolError
	if errors.As(err, &seen) && v.PoolID == 0 {
		if near := text.Nearest(v.PoolName, seen.Sees); near != "" {
			p.What += fmt.Sprintf("; did you mean %q?", near)
		}
	}
	return failedWith(p)
}

func (v *run) findPool(ctx context.Context) (azdo.Pool, error) {
	if v.PoolID != 0 {
		return v.Server.PoolByID(ctx, v.PoolID)
	}
	return v.Server.PoolByName(ctx, v.PoolName)
}

// checkRole asks what the identity may do in the pool, in the words of the
// portal's roles (azure-devops-rest.md 4.3).
func checkRole(ctx context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("an agent without an identity needs no role")
	}
	manages, err := v.Server.HasPermission(ctx, v.pool.ID, azdo.MayManage)
	if err != nil {
		return failedWith(problem(RoleUnknown, err.Error()))
	}
	if manages {
		return ok(fmt.Sprintf("the identity may view and manage pool %q", v.pool.Name))
	}
	role := "Reader"
	if listens, err := v.Server.HasPermission(ctx, v.pool.ID, azdo.MayListen); err == nil && listens {
		role = "Service Account"
	}
	return failedWith(problem(NoManage, fmt.Sprintf("the identity may view pool %q but not manage it: its role is %s", v.pool.Name, role)))
}

func checkPoolKind(_ context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("it was checked when the agent was registered")
	}
	cause, why := unsuitableKind(v.pool)
	if cause != "" {
		return failedWith(problem(cause, fmt.Sprintf("pool %q: %s", v.pool.Name, why)))
	}
	return ok(fmt.Sprintf("pool %q is self-hosted", v.pool.Name))
}

// unsuitableKind says what keeps agents of ours out of a pool (agent-protocol.md 10.3).
func unsuitableKind(p azdo.Pool) (Cause, string) {
	switch {
	case p.IsHosted:
		return HostedPool, p.ClosedReason()
	case strings.EqualFold(p.PoolType, "deployment"):
		return DeploymentPool, p.ClosedReason()
	case p.ClosedReason() != "":
		return ElasticPool, p.ClosedReason()
	}
	return "", ""
}
