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

	run func(context.Context, *run) result
}

// Checks are all checks, from the inside out.
func Checks() []Check {
	return []Check{
		{Settings, "azptend run does not start with an invalid setting", nil, checkSettings},
		{Host, "the platform determines the grace period and the identity endpoint", nil, checkHost},
		{Identity, "registering an agent needs an identity, and several may be set", nil, checkIdentity},
		{Token, "every request to Azure DevOps needs a token", []Name{Identity}, checkToken},
		{Network, "azptend and the agent must reach Azure DevOps over https, through the proxy if there is one", nil, checkNetwork},
		{Endpoints, "the agent logs on to another host than azptend, and downloads updates from a third", nil, checkEndpoints},
		{Organisation, "a mistyped name looks like a working network", []Name{Network}, checkOrganisation},
		{Tenant, "an organisation accepts only tokens of its own Entra tenant", []Name{Token, Organisation}, checkTenant},
		{SignIn, "Azure DevOps can refuse a valid token", []Name{Tenant}, checkSignIn},
		{Membership, "only users of the organisation have access", []Name{SignIn}, checkMembership},
		{Licence, "roles on pools may have no effect without a Basic licence", []Name{Membership}, checkLicence},
		{Pool, "Azure DevOps does not list pools that the identity cannot view", []Name{Membership}, checkPool},
		{Role, "registering and removing agents needs the Administrator role on the organisation's pool", []Name{Pool}, checkRole},
		{PoolKind, "azptend cannot add agents to hosted and scale set pools", []Name{Pool}, checkPoolKind},
		{Folder, "the agent starts from its directory, and writes there", nil, checkFolder},
		{Runtime, "the agent is a .NET program that needs its C library and ICU", []Name{Folder}, checkRuntime},
		{Clock, "Azure DevOps refuses what the agent logs on with if the clocks differ by more than five minutes", []Name{Network}, checkClock},
		{Reach, "a job is other people's code, and can use any credential that it can reach", nil, checkReach},
		{Budget, "a job that runs when the platform stops the agent must finish within the grace period", nil, checkBudget},
		{Queue, "it shows why jobs wait, and what an autoscaler counts", []Name{Pool}, checkQueue},
	}
}

// blockedChecks are the checks that need one.
func blockedChecks(checks []Check, name Name) []Name {
	var after []Name
	for _, c := range checks {
		if slices.Contains(c.Needs, name) {
			after = append(after, c.Name)
		}
	}
	return after
}

// Run makes all checks and tells each before and after it is made; tell may be
// nil, and is given a finding without a verdict before. A check that cannot be
// made says which other stands in its way, and the rest go on. When ctx ends the
// rest is left out.
func Run(ctx context.Context, s Environment, onFinding func(Finding)) Report {
	return runChecks(ctx, Checks(), newRun(s), onFinding)
}

func runChecks(ctx context.Context, checks []Check, v *run, onFinding func(Finding)) Report {
	if onFinding == nil {
		onFinding = func(Finding) {}
	}
	var report Report
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		f := Finding{Check: c.Name, Why: c.Why, Blocks: blockedChecks(checks, c.Name)}
		if by := blocker(c, report); by != "" {
			f.Verdict, f.BlockedBy, f.Found = Skipped, by, "not checked: "+string(by)+" failed"
		} else {
			onFinding(f)
			begun := time.Now()
			r := c.run(ctx, v)
			f.Took = time.Since(begun)
			f.Verdict, f.Found, f.Problems = r.verdict(), r.sentence(), v.fillCommands(v.fitFixes(sortBySeverity(r.problems)))
			f.BlockedBy = r.blockedBy
		}
		report.Findings = append(report.Findings, f)
		onFinding(f)
	}
	return report
}

// blocker is the check that stands in the way, the first cause and not the
// nearest.
func blocker(c Check, so Report) Name {
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

// fitFixes has the table's fixes follow from the identity that was chosen.
func (v *run) fitFixes(problems []Problem) []Problem {
	if v.Environment.Identity.Source == nil {
		return problems
	}
	source := v.Environment.Identity.Source.Source()
	for i, p := range problems {
		if p.Fix == CaseOf(p.Cause).Fix {
			problems[i].Fix = FixFor(p.Cause, source, v.Environment.Identity.Reason)
		}
	}
	return problems
}

// fillCommands names, in the commands of fixes, what the visit has learned by now.
func (v *run) fillCommands(problems []Problem) []Problem {
	if v.claims == nil || v.claims.ObjectID == "" {
		return problems
	}
	pool := "--pool " + ShellWord(v.PoolName)
	if v.PoolID != 0 {
		pool = fmt.Sprintf("--pool-id %d", v.PoolID)
	}
	command := fmt.Sprintf("--url %s %s --identity %s", ShellWord(v.URL), pool, v.claims.ObjectID)
	for i := range problems {
		problems[i].Fix = strings.ReplaceAll(problems[i].Fix, setupIdentity, command)
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

// sortBySeverity puts failures before warnings.
func sortBySeverity(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return severity(b) - severity(a) })
	return problems
}

func severity(p Problem) int {
	if CaseOf(p.Cause).Verdict == Failed {
		return 1
	}
	return 0
}
