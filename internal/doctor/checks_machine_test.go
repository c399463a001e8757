package doctor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/doctor"
)

// onTheMachine is one case of the checks that look at nothing but this machine.
type onTheMachine struct {
	what   string
	change func(*doctor.Environment)
	check  doctor.Name
	causes []*doctor.Cause // nil: well
	code   int
	says   string
}

func aboutTheFolder() []onTheMachine {
	return []onTheMachine{
		{"all is well", func(*doctor.Environment) {}, doctor.Folder, nil, 0, "/azp can be used as user agent; 60.0 GB of 100.0 GB free"},
		{"no listener", func(s *doctor.Environment) {
			s.Folder.Check = func() error {
				return &agentdir.DirError{Dir: "/azp", Why: "bin/Agent.Listener is not there", Hint: "unpack"}
			}
		}, doctor.Folder, []*doctor.Cause{doctor.FolderUnusable}, 78, "is not there"},
		{"an agent that run installs", func(s *doctor.Environment) {
			s.Folder.InstallPending = true
		}, doctor.Folder, nil, 0, "there is no agent in /azp yet"},
		{"an agent that run cannot install", func(s *doctor.Environment) {
			s.Folder.InstallPending = true
			s.Folder.Check = func() error {
				return &agentdir.DirError{Dir: "/azp", Why: "it cannot be written to", Hint: "make it writable"}
			}
		}, doctor.Folder, []*doctor.Cause{doctor.FolderUnusable}, 78, "cannot be written to"},
		{"little space", func(s *doctor.Environment) {
			s.Folder.Space = func() (uint64, uint64, error) { return 5e9, 100e9, nil }
		}, doctor.Folder, []*doctor.Cause{doctor.LittleSpace}, 0, "5.0 GB of 100.0 GB"},
		{"more than little", func(s *doctor.Environment) {
			s.Folder.Space = func() (uint64, uint64, error) { return 5e9 + 1, 100e9, nil }
		}, doctor.Folder, nil, 0, ""},
		{"less than 2 GiB of a small disk", func(s *doctor.Environment) {
			s.Folder.Space = func() (uint64, uint64, error) { return 2<<30 - 1, 4 << 30, nil }
		}, doctor.Folder, []*doctor.Cause{doctor.LittleSpace}, 0, "2.1 GB of 4.3 GB"},
		{"2 GiB of a small disk", func(s *doctor.Environment) {
			s.Folder.Space = func() (uint64, uint64, error) { return 2 << 30, 4 << 30, nil }
		}, doctor.Folder, nil, 0, ""},
		{"nobody knows the space", func(s *doctor.Environment) {
			s.Folder.Space = func() (uint64, uint64, error) { return 0, 0, errors.New("?") }
		}, doctor.Folder, nil, 0, ""},
		{"it runs", func(*doctor.Environment) {}, doctor.Runtime, nil, 0, "version 5.282.3, for glibc; ICU: /lib/libicuuc.so.72"},
		{"a program that needs nothing", func(s *doctor.Environment) {
			s.Folder.Needs = func() (agentdir.Loader, error) { return agentdir.Loader{}, nil }
			s.Folder.ICU = func() string { return "" }
		}, doctor.Runtime, nil, 0, "needs no C library"},
		{"a package for Alpine on Debian", func(s *doctor.Environment) {
			s.Folder.Needs = func() (agentdir.Loader, error) {
				return agentdir.Loader{Libc: "musl", Path: "/lib/ld-musl-x86_64.so.1"}, nil
			}
		}, doctor.Runtime, []*doctor.Cause{doctor.NoLoader}, 78, "built for musl, and its loader /lib/ld-musl-x86_64.so.1"},
		{"no ICU, and it runs", func(s *doctor.Environment) { s.Folder.ICU = func() string { return "" } },
			doctor.Runtime, []*doctor.Cause{doctor.NoICU}, 0, "version 5.282.3"},
		{"no ICU, and it does not", func(s *doctor.Environment) {
			s.Folder.ICU = func() string { return "" }
			s.Folder.Version = func(context.Context) (string, error) {
				return "", &agentdir.DirError{Why: "exits with code 134", Hint: "see above"}
			}
		}, doctor.Runtime, []*doctor.Cause{doctor.NoVersion, doctor.NoICU}, 78, ""},
	}
}

func aboutItsJobs() []onTheMachine {
	return []onTheMachine{
		{"closed", func(*doctor.Environment) {}, doctor.Reach, nil, 0, "cannot reach the identity"},
		{"everything is open", func(s *doctor.Environment) {
			s.Jobs.Capabilities, s.Jobs.TokenFiles, s.PassEnv = []string{"CAP_PERFMON"}, []string{"/run/token"}, []string{"IDENTITY_HEADER"}
			s.Jobs.Parents = []string{"tini (pid 1) shows AZP_TOKEN"}
			s.Jobs.Metadata = func(context.Context) bool { return true }
		}, doctor.Reach, []*doctor.Cause{doctor.Tracing, doctor.ParentShows, doctor.FileReadable, doctor.PassesOn, doctor.MetadataOpen}, 0, "own user"},
		{"it cannot be closed", func(s *doctor.Environment) { s.Jobs.Undumpable = errors.New("not on this system") },
			doctor.Reach, []*doctor.Cause{doctor.Dumpable}, 0, ""},
		{"another user", func(s *doctor.Environment) {
			s.Jobs.User, s.Jobs.Capabilities, s.Jobs.Undumpable = "agent", []string{"CAP_SYS_PTRACE"}, errors.New("x")
			s.Jobs.TokenFiles, s.Jobs.CanRead = []string{"/run/token"}, func(string) bool { return false }
		}, doctor.Reach, nil, 0, "as user agent"},
		{"time enough", func(*doctor.Environment) {}, doctor.Budget, nil, 0, "of 30s (the platform's default) 13.5s to finish"},
		{"no time", func(s *doctor.Environment) {
			s.Grace, s.GraceSet = 5*time.Second, true
		},
			doctor.Budget, []*doctor.Cause{doctor.NoDrain}, 0, "of 5s (AZP_GRACE_PERIOD)"},
		{"more than there is", func(s *doctor.Environment) { s.Host.MaxGracePeriod, s.GraceSet = 10*time.Second, true },
			doctor.Budget, []*doctor.Cause{doctor.LongerThan}, 0, ""},
		{"a default that may be none", func(s *doctor.Environment) { s.Host.GraceSetting = "the unit's TimeoutStopSec" },
			doctor.Budget, []*doctor.Cause{doctor.GraceNotKnown}, 0, ""},
	}
}

func TestTheMachine(t *testing.T) {
	for _, tt := range append(aboutTheFolder(), aboutItsJobs()...) {
		t.Run(tt.what, func(t *testing.T) {
			s := doctor.Environment{Folder: soundFolder(), Jobs: closedJobs()}
			s.Registered, s.Grace = "/shared", 30*time.Second
			tt.change(&s)
			r := doctor.Run(t.Context(), s, nil)
			f := r.Of(tt.check)
			var causes []*doctor.Cause
			for _, p := range f.Problems {
				causes = append(causes, p.Cause)
				if p.What == "" || p.Fix == "" {
					t.Errorf("it does not say what to do: %+v", p)
				}
			}
			if !slices.Equal(causes, tt.causes) || r.Code() != tt.code || !strings.Contains(f.Found, tt.says) {
				t.Errorf("%d, %+v", r.Code(), f)
			}
		})
	}
}
