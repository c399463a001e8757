package doctor

import (
	"context"
	"slices"
)

// IsAmbiguous says that a failure may have several causes, which only a look from the
// inside out tells apart.
func IsAmbiguous(err error) bool {
	c, _ := Explain(err)
	return slices.Contains([]Cause{Refused, SignInPage, NotAuthorized, Throttled, NoPools}, c.Cause)
}

// Diagnose makes the checks that are about an identity and its organisation,
// and returns the first thing that is wrong; better is false where that is
// nothing, or no more than the failure says itself.
func Diagnose(ctx context.Context, s Environment, err error) (p Problem, better bool) {
	first, _ := Explain(err)
	for _, f := range runChecks(ctx, remoteChecks(), newRun(s), nil).Findings {
		if f.Verdict == Failed {
			return f.Problems[0], f.Problems[0].Cause != first.Cause
		}
	}
	return Problem{}, false
}

// remoteChecks are those that look at nothing of this machine.
func remoteChecks() []Check {
	return slices.DeleteFunc(Checks(), func(c Check) bool {
		return !slices.Contains([]Name{Identity, Token, Network, Organisation, Tenant, SignIn, Membership, Licence, Pool}, c.Name)
	})
}
