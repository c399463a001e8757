package doctor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/emulator"
)

// TestTheTable: each cause is there once, belongs to a check, and says what it
// means; a failure has the code of a row of run's exit codes, a warning none.
func TestTheTable(t *testing.T) {
	checks := map[doctor.Name]bool{}
	for i, c := range doctor.Checks() {
		for _, need := range c.Needs {
			if !checks[need] {
				t.Errorf("%s needs %s, which does not come before it", c.Name, need)
			}
		}
		if c.Why == "" || checks[c.Name] {
			t.Errorf("check %d: %+v", i, c)
		}
		checks[c.Name] = true
	}
	seen := map[string]bool{}
	for _, c := range doctor.Causes {
		if seen[c.Name] || !checks[c.Check] || c.Means == "" || strings.HasSuffix(c.Means, ".") || strings.HasSuffix(c.Fix, ".") {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
		code := slices.Contains([]int{64, 69, 77, 78}, c.Code) || c == doctor.ClockWrong && c.Code == 1 // the listener's own
		if c.Verdict == doctor.Failed != code || c.Verdict == doctor.Warning != (c.Code == 0) {
			t.Errorf("%s is %s, with code %d", c.Name, c.Verdict, c.Code)
		}
	}
}

// TestBadSettingsDoNotStopTheRest: what the settings lack is said, and everything
// that can be looked at without it is.
func TestBadSettingsDoNotStopTheRest(t *testing.T) {
	s := newStage(t)
	s.ready()
	s.Problems = []config.Problem{{What: "AZP_URL (--url) is not set", Hint: "it looks like so"}, {What: "AZP_GRACE_PERIOD is odd"}}
	s.URL, s.Server = "", nil
	r := doctor.Run(t.Context(), s.Environment, nil)
	if r.Code() != 64 || len(r.Of(doctor.Settings).Problems) != 2 {
		t.Errorf("%d, %+v", r.Code(), r.Of(doctor.Settings))
	}
	for _, ok := range []doctor.Name{doctor.Host, doctor.Identity, doctor.Token, doctor.Folder, doctor.Runtime, doctor.Reach, doctor.Budget} {
		if f := r.Of(ok); f.Verdict != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	for _, not := range []doctor.Name{doctor.Network, doctor.Organisation, doctor.Tenant, doctor.SignIn, doctor.Membership, doctor.Licence, doctor.Pool, doctor.Role, doctor.PoolKind, doctor.Queue} {
		if f := r.Of(not); f.Verdict != doctor.Skipped || f.BlockedBy != doctor.Settings {
			t.Errorf("%+v", f)
		}
	}
}

// TestTwoFailures: the first cause is named as what stands in the way, the rest
// of the checks go on, and the code is the first one's.
func TestTwoFailures(t *testing.T) {
	s := newStage(t)
	s.tokenFile("")
	s.ready()
	s.Folder.Check = func() error { return errors.New("there is nothing") }
	var told []string
	r := doctor.Run(t.Context(), s.Environment, func(f doctor.Finding) { told = append(told, string(f.Check)+" "+string(f.Verdict)) })
	if r.Code() != 69 {
		t.Errorf("the code is %d", r.Code())
	}
	for name, want := range map[doctor.Name]doctor.Name{doctor.Tenant: doctor.Token, doctor.SignIn: doctor.Token, doctor.Queue: doctor.Token, doctor.Runtime: doctor.Folder} {
		if f := r.Of(name); f.BlockedBy != want {
			t.Errorf("%s is blocked by %q", name, f.BlockedBy)
		}
	}
	for _, name := range []doctor.Name{doctor.Network, doctor.Organisation, doctor.Budget} {
		if f := r.Of(name); f.Verdict != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if len(r.Findings) != len(doctor.Checks()) || !slices.Contains(told, "token ") || !slices.Contains(told, "token failed") || slices.Contains(told, "tenant ") {
		t.Errorf("told %q", told)
	}
}

func TestNobodyWaits(t *testing.T) {
	s := newStage(t)
	s.ready()
	ctx, cancel := context.WithCancel(t.Context())
	r := doctor.Run(ctx, s.Environment, func(f doctor.Finding) {
		if f.Check == doctor.Token {
			cancel()
		}
	})
	if n := len(r.Findings); n == 0 || r.Findings[n-1].Check != doctor.Token {
		t.Errorf("after the end of its context it found %+v", r.Findings)
	}
}

// TestWhoNeedsNoIdentity: an agent that somebody else registered, and a
// placeholder, are no failures for lack of what they do not need.
func TestWhoNeedsNoIdentity(t *testing.T) {
	s := newStage(t)
	s.Registered, s.URL = "/shared/agent", ""
	r := doctor.Run(t.Context(), s.Environment, nil)
	if r.Code() != 0 {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Findings {
		if f.BlockedBy != "" || f.Verdict == doctor.Failed {
			t.Errorf("%+v", f)
		}
	}
	s = newStage(t)
	s.ready()
	s.Placeholder, s.Folder.Dir = true, ""
	if r := doctor.Run(t.Context(), s.Environment, nil); r.Code() != 0 || r.Of(doctor.Folder).Verdict != doctor.Skipped || r.Of(doctor.Role).Verdict != doctor.OK {
		t.Errorf("%+v", r)
	}
}

// TestTheCommandIsWhole: what an administrator is to type names the identity, the
// organisation and the pool.
func TestTheCommandIsWhole(t *testing.T) {
	s := newStage(t)
	s.change(func(i *emulator.Identity) { i.Roles = nil })
	s.Settings.Pool = "Linux builds"
	s.ready()
	r := doctor.Run(t.Context(), s.Environment, nil)
	want := "`azptend setup --url " + s.URL + " --pool 'Linux builds' --identity " + s.who.ObjectID + " --apply`"
	if p := r.Of(doctor.Pool).Problems; len(p) != 1 || !strings.Contains(p[0].Fix, want) {
		t.Errorf("the fix is %+v, want %s", p, want)
	}
}

// TestASecondOpinion: only what an answer leaves open is looked at again.
func TestASecondOpinion(t *testing.T) {
	s := newStage(t)
	s.change(func(i *emulator.Identity) { i.Tenant = "22222222-0000-4000-8000-000000000000" })
	err := s.runs(s.ready())
	var hinter interface{ Hint() string }
	if found := doctor.Diagnose(t.Context(), s.Environment, err); !errors.As(found, &hinter) || hinter.Hint() != doctor.WrongTenant.Fix {
		t.Errorf("%+v", found)
	}
	for what, change := range map[string]func(*stage){
		"a stranger":    func(s *stage) { s.change(func(i *emulator.Identity) { i.Member = false }) },
		"nothing":       func(*stage) {},
		"a bad token":   func(s *stage) { s.tokenFile("nobodys") },
		"no pool alone": func(s *stage) { s.change(func(i *emulator.Identity) { i.Roles = nil }) },
	} {
		s := newStage(t)
		change(s)
		err := s.runs(s.ready())
		if found := doctor.Diagnose(t.Context(), s.Environment, err); found != err {
			t.Errorf("%s: there is more to say than %v", what, err)
		}
	}
}
