// Package doctor checks everything that `azptend run` needs: settings, identity, token,
// network, organisation, pool and directory, in this order. A check is a value with a
// name, the checks that must pass before it, and a function. What it can find is a [Cause]:
// one table says what to do about it and which exit code `run` would have.
//
// The same table explains the errors of every other command ([Explain]): one place knows
// what an answer of Azure DevOps means.
//
// The package prints nothing. What it needs of the machine and of the server are
// functions and small interfaces in an [Environment]. [NewEnvironment] makes one with the
// parts that `run` uses.
//
// Sources: azure-devops-rest.md 1, 4 and 5, reference/identity.md 5 and 6, agent-protocol.md 3.9
// and 10, keda-and-kubernetes.md 1.5.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Check is one thing to look at.
type Check struct {
	Name  Name
	Why   string // why it matters: a sentence, without a period
	Needs []Name // the checks that must pass before it

	run func(context.Context, *run) Finding
}

// notForRegistered says why a check is not needed for an agent that another azptend
// registered.
var notForRegistered = map[Name]string{
	Identity:     "the agent was registered by another azptend (AZP_REGISTERED): none is needed here",
	Token:        "no token is needed",
	Network:      "the agent's own files contain the server's address",
	Clock:        "the agent's own files say where its server is",
	Organisation: "the agent's own files name it",
	Tenant:       "no token is needed",
	SignIn:       "the agent logs on with its own key",
	Membership:   "the agent logs on with its own key",
	Licence:      "agents need none",
	Pool:         "the agent's own files name it",
	Role:         "an agent without an identity needs no role",
	PoolKind:     "it was checked when the agent was registered",
	Queue:        "an agent without an identity cannot see its pool",
}

// notForPlaceholder says why a check is not needed for a placeholder.
var notForPlaceholder = map[Name]string{
	Folder:  "a placeholder never runs and has no directory",
	Runtime: "there is no agent",
	Reach:   "a placeholder has no jobs",
	Budget:  "a placeholder has no jobs to finish",
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

// Run makes all checks and calls onFinding, which may be nil, before each, without a
// verdict, and after it. It goes on after a failure, and skips the checks that need the
// failed one. It ends early if ctx ends.
func Run(ctx context.Context, s Environment, onFinding func(Finding)) Report {
	return runChecks(ctx, Checks(), s, onFinding)
}

func runChecks(ctx context.Context, checks []Check, s Environment, onFinding func(Finding)) Report {
	if onFinding == nil {
		onFinding = func(Finding) {}
	}
	v := &run{Environment: s}
	var report Report
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		f, skipped := v.skip(c, report)
		if !skipped {
			onFinding(Finding{Check: c.Name})
			begun := time.Now()
			f = c.run(ctx, v)
			f.Took = time.Since(begun)
			f.finish()
			v.fitFixes(f.Problems)
		}
		f.Check, f.Why = c.Name, c.Why
		for _, other := range checks {
			if slices.Contains(other.Needs, c.Name) {
				f.Blocks = append(f.Blocks, other.Name)
			}
		}
		report.Findings = append(report.Findings, f)
		onFinding(f)
	}
	return report
}

// skip says whether a check is not needed, or blocked by another one that failed. If that
// one was blocked as well, it names the first cause.
func (v *run) skip(c Check, so Report) (Finding, bool) {
	why := ""
	if v.Registered != "" {
		why = notForRegistered[c.Name]
	}
	if v.Placeholder {
		why = cmp.Or(why, notForPlaceholder[c.Name])
	}
	if why != "" {
		return Finding{Verdict: Skipped, Found: why}, true
	}
	for _, need := range c.Needs {
		by := so.Of(need).BlockedBy
		if so.Of(need).Verdict == Failed {
			by = need
		}
		if by != "" {
			return Finding{Verdict: Skipped, BlockedBy: by, Found: "not checked: " + string(by) + " failed"}, true
		}
	}
	return Finding{}, false
}

// fixFor is what to do about a cause with the identity that was chosen.
func (v *run) fixFor(c *Cause) string {
	if v.Tokens == nil {
		return c.Fix
	}
	used := v.Settings.Identity
	used.Source = v.Tokens.Source() // the named identity, once the token file is of no use
	return fixFor(c, used)
}

// fitFixes makes the fixes follow from the identity that was chosen, and puts what is known by now
// into their commands.
func (v *run) fitFixes(problems []Problem) {
	for i := range problems {
		p := &problems[i]
		if p.Fix == p.Cause.Fix {
			p.Fix = v.fixFor(p.Cause)
		}
		if v.claims != nil && v.claims.ObjectID != "" {
			p.Fix = completeSetup(p.Fix, v.Settings, v.claims.ObjectID)
		}
	}
}

// ShellWord quotes a text, so that a shell takes it as one word.
func ShellWord(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:%", r))
	}) < 0
	if plain && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
