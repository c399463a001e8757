package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Check is one thing to look at.
type Check struct {
	Name  Name
	Why   string // why it matters: a sentence, without a period
	Needs []Name // the checks that have to be well before it can be made

	look func(context.Context, *visit) result
}

// Checks are all checks, from the inside out.
func Checks() []Check {
	return []Check{
		{Settings, "run begins with nothing unless every setting can be read", nil, lookAtSettings},
		{Host, "the platform decides how long a stop may take, and where the identity comes from", nil, lookAtHost},
		{Identity, "whoever registers the agent needs an identity, and not the wrong one of several", nil, lookAtIdentity},
		{Token, "everything that azptend asks of Azure DevOps takes a token for it", []Name{Identity}, lookAtToken},
		{Network, "azptend and the agent reach Azure DevOps over https, through the proxy if there is one", nil, lookAtNetwork},
		{Endpoints, "the agent logs on elsewhere than azptend, and fetches its updates from elsewhere again", nil, lookAtEndpoints},
		{Organisation, "a name that is mistyped looks like a network that works", []Name{Network}, lookAtOrganisation},
		{Tenant, "an organisation takes tokens of its own Entra tenant alone", []Name{Token, Organisation}, lookAtTenant},
		{SignIn, "a token may be good, and still not be let in", []Name{Tenant}, lookAtSignIn},
		{Membership, "Azure DevOps knows users of the organisation, and nobody else", []Name{SignIn}, lookAtMembership},
		{Licence, "without a Basic licence roles on pools may not count", []Name{Membership}, lookAtLicence},
		{Pool, "Azure DevOps leaves out pools that the identity may not view, without a word", []Name{Membership}, lookAtPool},
		{Role, "registering and removing agents takes the Administrator role on the organisation's pool", []Name{Pool}, lookAtRole},
		{PoolKind, "agents of hosted and scale set pools are not ours to add", []Name{Pool}, lookAtKind},
		{Folder, "the agent is started from its folder, and writes there", nil, lookAtFolder},
		{Runtime, "the agent is a .NET program: it needs its C library, and ICU", []Name{Folder}, lookAtRuntime},
		{Reach, "a job is other people's code, and what it can reach of the identity it can use", nil, lookAtReach},
		{Budget, "a job that runs when the platform stops the agent is finished in the grace period or not at all", nil, lookAtBudget},
		{Queue, "why jobs wait, and what an autoscaler makes of them", []Name{Pool}, lookAtQueue},
	}
}

// blocks are the checks that need one.
func blocks(checks []Check, name Name) []Name {
	var after []Name
	for _, c := range checks {
		if slices.Contains(c.Needs, name) {
			after = append(after, c.Name)
		}
	}
	return after
}

// Visit makes all checks and tells each before and after it is made; tell may be
// nil, and is given a finding without a verdict before. A check that cannot be
// made says which other stands in its way, and the rest go on. When ctx ends the
// rest is left out.
func Visit(ctx context.Context, s Subject, tell func(Finding)) Report {
	return walk(ctx, Checks(), newVisit(s), tell)
}

func walk(ctx context.Context, checks []Check, v *visit, tell func(Finding)) Report {
	if tell == nil {
		tell = func(Finding) {}
	}
	var report Report
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		f := Finding{Check: c.Name, Why: c.Why, Blocks: blocks(checks, c.Name)}
		if by := blockedBy(c, report); by != "" {
			f.Verdict, f.BlockedBy, f.Found = Skipped, by, "not looked at: "+string(by)+" comes first"
		} else {
			tell(f)
			begun := time.Now()
			r := c.look(ctx, v)
			f.Took = time.Since(begun)
			f.Verdict, f.Found, f.Problems = r.verdict(), r.sentence(), v.filledIn(byWeight(r.problems))
			f.BlockedBy = r.blockedBy
		}
		report.Findings = append(report.Findings, f)
		tell(f)
	}
	return report
}

// blockedBy is the check that stands in the way, the first cause and not the
// nearest.
func blockedBy(c Check, so Report) Name {
	for _, need := range c.Needs {
		switch f := so.Of(need); {
		case f.Verdict == Failed:
			return need
		case f.Verdict == Skipped && f.BlockedBy != "":
			return f.BlockedBy
		}
	}
	return ""
}

// filledIn names, in the commands of fixes, what the visit has learned by now.
func (v *visit) filledIn(problems []Problem) []Problem {
	if v.claims == nil || v.claims.ObjectID == "" {
		return problems
	}
	pool := "--pool " + ShellWord(v.PoolName)
	if v.PoolID != 0 {
		pool = fmt.Sprintf("--pool-id %d", v.PoolID)
	}
	command := fmt.Sprintf("--url %s %s --identity %s", ShellWord(v.URL), pool, v.claims.ObjectID)
	for i := range problems {
		problems[i].Fix = strings.ReplaceAll(problems[i].Fix, whom, command)
	}
	return problems
}

// ShellWord is a text as one word of a command.
func ShellWord(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:%", r))
	}) < 0
	if plain && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// byWeight puts failures before warnings.
func byWeight(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return weight(b) - weight(a) })
	return problems
}

func weight(p Problem) int {
	if CaseOf(p.Cause).Verdict == Failed {
		return 1
	}
	return 0
}
