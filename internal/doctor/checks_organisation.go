package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

// checkSignIn asks Azure DevOps who this is. An answer about membership is left to the next
// check: the token is valid then.
func checkSignIn(ctx context.Context, v *run) Finding {
	if v.Server == nil {
		return Finding{Verdict: Skipped, BlockedBy: Settings, Found: "the settings do not name both an organisation and an identity"}
	}
	user, err := v.Server.WhoAmI(ctx)
	v.user = user
	switch c := Explain(err); {
	case err == nil:
		return Finding{Found: "Azure DevOps accepts the token"}
	case c != nil && c.Check == Membership:
		v.membershipErr = err
		return Finding{Found: "Azure DevOps accepts the token"}
	case c == Refused && v.claims == nil && v.canListPools(ctx):
		v.ownerHidden = true
		return Finding{Found: "Azure DevOps accepts the token for pools; the token's scopes do not let it show the owner"}
	case c != nil && c.Check == SignIn:
		return failed(c, err.Error())
	case c != nil:
		return failed(NotSignedIn, err.Error(), v.fixFor(c))
	}
	return failed(NotSignedIn, err.Error())
}

// canListPools tries the one thing that a personal access token must be able to do: with
// the scope for pools alone, other requests are refused (agent-protocol.md 10, 2nd
// surprise).
func (v *run) canListPools(ctx context.Context) bool {
	_, err := v.Server.Pools(ctx)
	return err == nil
}

func checkMembership(_ context.Context, v *run) Finding {
	switch {
	case v.membershipErr != nil:
		return failed(Explain(v.membershipErr), v.membershipErr.Error())
	case v.ownerHidden:
		return Finding{Verdict: Skipped, Found: "an accepted token belongs to a user"}
	case v.user.Anonymous():
		return failed(Unrecognised, fmt.Sprintf("Azure DevOps treats the caller as anonymous: the user is %s (%s)", cmp.Or(v.user.Name, "nobody"), cmp.Or(v.user.ID, "no id")))
	}
	f := Finding{Found: fmt.Sprintf("%s, a %s of the organisation (id %s there)", v.user.Name, v.user.Kind(), v.user.ID)}
	if object := v.user.ObjectID(); object != "" && v.claims != nil && v.claims.ObjectID != "" && !strings.EqualFold(object, v.claims.ObjectID) {
		f.Found += fmt.Sprintf("; the token says object id %s, and Azure DevOps %s", v.claims.ObjectID, object)
	}
	return f
}

// checkLicence asks for the identity's own licence. It is not known whether an identity
// without further rights may see it, so a refusal is no failure.
func checkLicence(ctx context.Context, v *run) Finding {
	if v.user.ObjectID() == "" {
		return Finding{Verdict: Skipped, Found: "only the licences of service principals and managed identities are checked"}
	}
	e, err := v.Licence(ctx, v.user.ID)
	switch {
	case errors.Is(err, azdo.ErrAzureDevOpsServer):
		return Finding{Verdict: Skipped, Found: "Azure DevOps Server has no such licences"}
	case err != nil:
		return Finding{Verdict: Skipped, Found: fmt.Sprintf("Azure DevOps does not show it (%v); an administrator can see it (%s)", err, usersPage)}
	}
	v.licence, v.licenceKnown = e.AccessLevel.License, true
	has := fmt.Sprintf("the licence is %v", v.licence)
	switch {
	case !v.licence.IsEnough() && strings.EqualFold(string(v.licence), string(azdo.Stakeholder)):
		return failed(Stakeholder, has)
	case !v.licence.IsEnough():
		return failed(NoLicence, has)
	case strings.EqualFold(e.AccessLevel.Status, "pending"):
		return failed(LicencePending, has+", and is not active yet")
	}
	return Finding{Found: has}
}

func checkPool(ctx context.Context, v *run) Finding {
	var err error
	if v.pool, err = v.Server.FindPool(ctx, v.PoolRef()); err == nil {
		return Finding{Found: fmt.Sprintf("%q is pool %d", v.pool.Name, v.pool.ID)}
	}
	c := Explain(err)
	switch {
	case c == nil:
		return failed(PoolUnknown, err.Error())
	case c.Check != Pool:
		return failed(PoolUnknown, err.Error(), v.fixFor(c))
	}
	if c == NoPools && v.licenceKnown && !v.licence.IsEnough() {
		return failed(NoPoolsLicence, fmt.Sprintf("%v; its licence is %v", err, v.licence))
	}
	what := err.Error()
	var seen *azdo.NoPoolError
	if errors.As(err, &seen) && v.PoolID == 0 {
		if near := text.Nearest(v.Settings.Pool, seen.Sees); near != "" {
			what += fmt.Sprintf("; did you mean %q?", near)
		}
	}
	return failed(c, what)
}

// checkRole asks what the identity may do in the pool, in the words of the
// portal's roles (azure-devops-rest.md 4.3).
func checkRole(ctx context.Context, v *run) Finding {
	manages, err := v.Server.HasPermission(ctx, v.pool.ID, azdo.MayManage)
	if err != nil {
		return failed(RoleUnknown, err.Error())
	}
	if manages {
		return Finding{Found: fmt.Sprintf("the identity may view and manage pool %q", v.pool.Name)}
	}
	role := "Reader"
	if listens, err := v.Server.HasPermission(ctx, v.pool.ID, azdo.MayListen); err == nil && listens {
		role = "Service Account"
	}
	return failed(NoManage, fmt.Sprintf("the identity may view pool %q but not manage it: its role is %s", v.pool.Name, role))
}

// checkPoolKind looks for what keeps agents out of a pool (agent-protocol.md 10.3).
func checkPoolKind(_ context.Context, v *run) Finding {
	why := fmt.Sprintf("pool %q: %s", v.pool.Name, v.pool.ClosedReason())
	switch {
	case v.pool.IsHosted:
		return failed(HostedPool, why)
	case strings.EqualFold(v.pool.PoolType, "deployment"):
		return failed(DeploymentPool, why)
	case v.pool.ClosedReason() != "":
		return failed(ElasticPool, why)
	}
	return Finding{Found: fmt.Sprintf("pool %q is self-hosted", v.pool.Name)}
}
