package doctor

import (
	"cmp"
	"time"
)

// Name names a check, in tables, JSON and the documentation.
type Name string

// The checks, in the order they are made.
const (
	Settings     Name = "settings"
	Host         Name = "host"
	Identity     Name = "identity"
	Token        Name = "token"
	Network      Name = "network"
	Clock        Name = "clock"
	Endpoints    Name = "endpoints"
	Organisation Name = "organisation"
	Tenant       Name = "tenant"
	SignIn       Name = "sign-in"
	Membership   Name = "membership"
	Licence      Name = "licence"
	Pool         Name = "pool"
	Role         Name = "role"
	PoolKind     Name = "pool-kind"
	Folder       Name = "folder"
	Runtime      Name = "runtime"
	Reach        Name = "reach"
	Budget       Name = "budget"
	Queue        Name = "queue"
)

// Verdict is how a check came out.
type Verdict string

// The verdicts, from good to bad.
const (
	OK      Verdict = "ok"
	Skipped Verdict = "skipped" // not made: another check stands in its way, or there is nothing to look at
	Warning Verdict = "warning" // run would work, and somebody should know
	Failed  Verdict = "failed"  // run would not work
)

// Finding is what one check found.
type Finding struct {
	Check     Name
	Verdict   Verdict
	Found     string    // a sentence, without a period
	Problems  []Problem // what is wrong or odd, the worst first
	Why       string    // why this is looked at
	Blocks    []Name    // the checks that cannot be made unless this one is well
	BlockedBy Name      // of a skipped check: the one that failed; "" where there is nothing to look at
	Took      time.Duration
}

// Problem is one thing that is wrong or odd.
type Problem struct {
	Cause Cause
	What  string // what was seen
	Fix   string // a command, a click path or a setting; "" where nothing is to be done
}

// Code is the exit code that `azptend run` would end with for it; 0 for none.
func (f Finding) Code() int {
	for _, p := range f.Problems {
		if c := CaseOf(p.Cause); c.Verdict == Failed {
			return c.Code
		}
	}
	return 0
}

// result is what a check's function returns.
type result struct {
	found    string
	problems []Problem
	skip     bool // there is nothing to look at

	blockedBy Name // what stands in the way of just this one
}

func ok(found string) result { return result{found: found} }

// notNeeded is the result of a check that has nothing to look at.
func notNeeded(why string) result { return result{found: why, skip: true} }

// blockedBySettings is the result of a check that needs a setting which is missing.
func blockedBySettings(why string) result {
	return result{found: why, skip: true, blockedBy: Settings}
}

// failedWith is the result of a check that found one thing.
func failedWith(p Problem) result { return result{problems: []Problem{p}} }

// problem is one of the table, with what was seen, and what the table says to do.
func problem(c Cause, what string) Problem { return Problem{Cause: c, What: what, Fix: CaseOf(c).Fix} }

// with is r with another problem.
func (r result) with(p Problem) result { r.problems = append(r.problems, p); return r }

// verdict is that of the worst problem.
func (r result) verdict() Verdict {
	worst := OK
	for _, p := range r.problems {
		switch v := CaseOf(p.Cause).Verdict; {
		case v == Failed:
			return Failed
		case v == Warning:
			worst = Warning
		}
	}
	if r.skip && worst == OK {
		return Skipped
	}
	return worst
}

// sentence is what a result says in one.
func (r result) sentence() string {
	if r.found == "" && len(r.problems) > 0 {
		return r.problems[0].What
	}
	return r.found
}

// Report is what a whole visit found.
type Report struct{ Findings []Finding }

// Of returns a check's finding, a zero one where it was not made.
func (r Report) Of(n Name) Finding {
	for _, f := range r.Findings {
		if f.Check == n {
			return f
		}
	}
	return Finding{}
}

// Code is what `azptend run` would end with, 0 where it would work. Of several
// failures it is the code of the one that run meets first.
func (r Report) Code() int {
	code := 0
	for _, f := range r.Findings {
		code = cmp.Or(code, f.Code())
	}
	return code
}
