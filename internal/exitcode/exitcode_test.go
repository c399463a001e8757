package exitcode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/setup"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{With(0, nil), 0},
		{fmt.Errorf("cannot run: %w", With(64, errors.New("no identity"))), 64},
		{&config.InvalidError{}, 64},
		{&pool.InvalidVersionError{Version: "x"}, 64},
		{&setup.Error{Kind: setup.InvalidArgument, Cause: errors.New("it is an application id")}, 64},
		{&azdo.Error{Op: "x", Cause: errors.New("no route")}, 69},
		{&azdo.Error{Op: "x", Status: 503}, 69},
		{&azdo.Error{Op: "x", Status: 404}, 69},
		{&azdo.TokenError{Op: "x", Cause: errors.New("no")}, 69},
		{&pool.ClosedError{Name: "Azure Pipelines", Why: "hosted"}, 69},
		{fmt.Errorf("cannot find: %w", azdo.ErrAzureDevOpsServer), 69},
		{fmt.Errorf("cannot find: %w", azdo.ErrForeignHost), 69},
		{&setup.Error{Kind: setup.ClosedPool, Cause: errors.New("hosted")}, 69},
		{&setup.Error{Cause: &azdo.RefusedError{Reason: "You are trying to invite"}}, 69},
		{&install.ChecksumError{}, 69},
		{errors.New("a fault of ours"), 70},
		{&fs.PathError{Err: errors.New("x")}, 70},
		{&pool.NameTakenError{Op: "create placeholder"}, 75},
		{&azdo.Error{Op: "x", Status: 409}, 75},
		{&setup.Error{Cause: &azdo.RefusedError{Reason: "VS403283: Could not add user"}}, 75},
		{&setup.Error{Kind: setup.Unconfirmed, Cause: errors.New("something is missing")}, 75},
		{&agentdir.DirError{InUse: true}, 75},
		{&azdo.Error{Op: "x", Status: 401}, 77},
		{&azdo.Error{Op: "x", Status: 403}, 77},
		{fmt.Errorf("cannot find: %w", azdo.ErrNoPool), 77},
		{fmt.Errorf("cannot give: %w", setup.ErrSelf), 77},
		{&setup.Error{Cause: azdo.ErrNoPool}, 77},
		{&setup.Error{Cause: &azdo.Error{Status: 403}}, 77},
		{&agentdir.DirError{}, 78},
		{&install.RootError{}, 78},
		{&azdo.Error{Op: "x", Cause: context.Canceled}, 130},
	} {
		if got := Of(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestOfStartAndInstall: what Of does not know is the settings' fault at a start,
// and the network's in an installation.
func TestOfStartAndInstall(t *testing.T) {
	for _, tt := range []struct {
		err            error
		start, install int
	}{
		{errors.New("anything"), 64, 69},
		{&agentdir.DirError{InUse: true}, 75, 75},
		{&agentdir.DirError{}, 78, 78},
		{&fs.PathError{Err: errors.New("x")}, 64, 78},
		{With(130, errors.New("interrupted")), 130, 130},
	} {
		if got := OfStart(tt.err); got != tt.start {
			t.Errorf("start: %v: %d, want %d", tt.err, got, tt.start)
		}
		if got := OfInstall(tt.err); got != tt.install {
			t.Errorf("install: %v: %d, want %d", tt.err, got, tt.install)
		}
	}
}

// TestOfRun holds the table against each outcome that package lifecycle has.
func TestOfRun(t *testing.T) {
	codes := map[lifecycle.Outcome]int{
		lifecycle.OK:          0,
		lifecycle.Unreachable: 69, lifecycle.AnswerLost: 69, lifecycle.Unclear: 69, lifecycle.Refused: 69, lifecycle.NotFound: 69, lifecycle.JobRunning: 69,
		lifecycle.InternalError: 70,
		lifecycle.JobCut:        75, lifecycle.NameTaken: 75, lifecycle.DirInUse: 75, lifecycle.NotRemoved: 75,
		lifecycle.Denied:       77,
		lifecycle.DirUnusable:  78,
		lifecycle.JobCancelled: 130,
	}
	for outcome, want := range codes {
		if got := OfRun(lifecycle.End{Outcome: outcome}); got != want {
			t.Errorf("%s: %d, want %d", outcome, got, want)
		}
	}
	for exit, want := range map[lifecycle.Exit]int{{Code: 2}: 2, {Signal: 9}: 137} {
		if got := OfRun(lifecycle.End{Outcome: lifecycle.ListenerFailed, Exit: exit}); got != want {
			t.Errorf("the listener failed with %v: %d, want %d", exit, got, want)
		}
	}
	b, err := os.ReadFile("../lifecycle/event.go")
	if err != nil {
		t.Fatal(err)
	}
	outcomes := regexp.MustCompile(`(?m)^\t\w+ +Outcome = "(.+?)"`).FindAllStringSubmatch(string(b), -1)
	if len(outcomes) != len(codes)+1 { // and ListenerFailed
		t.Errorf("lifecycle has %d outcomes, and %d are looked at here", len(outcomes), len(codes)+1)
	}
}

// TestSeverity: with several agents, the worst end decides.
func TestSeverity(t *testing.T) {
	order := []int{0, 130, 75, 69, 137, 77, 78, 64, 70}
	for i, worse := range order {
		for _, better := range order[:i] {
			if Severity(worse) <= Severity(better) {
				t.Errorf("%d is not worse than %d", worse, better)
			}
		}
	}
}
