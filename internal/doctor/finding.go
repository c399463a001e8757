package doctor

import (
	"cmp"
	"slices"
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
	Skipped Verdict = "skipped" // not made: another check failed, or there is nothing to check
	Warning Verdict = "warning" // run would work, but something is suspicious
	Failed  Verdict = "failed"  // run would not work
)

// Finding is what one check found. A check sets Found and Problems; or Verdict, if it had
// nothing to check, and BlockedBy, if a setting was missing for it.
type Finding struct {
	Check     Name
	Verdict   Verdict
	Found     string    // a sentence, without a period
	Problems  []Problem // the worst first
	Why       string    // why this is checked
	Blocks    []Name    // the checks that need this one
	BlockedBy Name      // of a skipped check: the one that failed; "": there was nothing to check
	Took      time.Duration
}

// Problem is one thing that is wrong or suspicious.
type Problem struct {
	Cause *Cause
	What  string // what was seen
	Fix   string // a command, a click path or a setting; "" where nothing is to be done
}

// Code is the exit code that `azptend run` would have because of it; 0 for none.
func (f Finding) Code() int {
	for _, p := range f.Problems {
		if p.Cause.Verdict == Failed {
			return p.Cause.Code
		}
	}
	return 0
}

// add adds a problem. Without a fix it has the one of its cause.
func (f *Finding) add(c *Cause, what string, fix ...string) {
	f.Problems = append(f.Problems, Problem{c, what, append(fix, c.Fix)[0]})
}

// failed is the finding of a check that found one problem.
func failed(c *Cause, what string, fix ...string) Finding {
	var f Finding
	f.add(c, what, fix...)
	return f
}

// finish completes what a check returned: the worst problem comes first, and decides.
func (f *Finding) finish() {
	slices.SortStableFunc(f.Problems, func(a, b Problem) int {
		return cmp.Compare(a.Cause.Verdict, b.Cause.Verdict) // "failed" is before "warning"
	})
	switch {
	case len(f.Problems) > 0:
		f.Verdict, f.Found = f.Problems[0].Cause.Verdict, cmp.Or(f.Found, f.Problems[0].What)
	case f.Verdict == "":
		f.Verdict = OK
	}
}

// Report is what all checks found.
type Report struct{ Findings []Finding }

// Of returns a check's finding, the zero value if the check was not made.
func (r Report) Of(n Name) Finding {
	for _, f := range r.Findings {
		if f.Check == n {
			return f
		}
	}
	return Finding{}
}

// Code is the exit code that `azptend run` would have, 0 if it would work. Of several
// failures, run meets the first one.
func (r Report) Code() int {
	code := 0
	for _, f := range r.Findings {
		code = cmp.Or(code, f.Code())
	}
	return code
}
