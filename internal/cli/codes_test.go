package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

// TestCodeOf holds commands against the table of `run`.
func TestCodeOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{&exitError{64, errors.New("no identity")}, 64},
		{&pool.VersionError{Version: "x"}, 64},
		{&azdo.Error{Op: "x", Cause: errors.New("no route")}, 69},
		{&azdo.Error{Op: "x", Status: 503}, 69},
		{&azdo.Error{Op: "x", Status: 404}, 69},
		{&azdo.TokenError{Op: "x", Cause: errors.New("no")}, 69},
		{&pool.ClosedError{Name: "Azure Pipelines", Why: "hosted"}, 69},
		{errors.New("a fault of ours"), 70},
		{&pool.HeldError{Op: "make placeholder"}, 75},
		{&azdo.Error{Op: "x", Status: 409}, 75},
		{&azdo.Error{Op: "x", Status: 401}, 77},
		{&azdo.Error{Op: "x", Status: 403}, 77},
		{fmt.Errorf("cannot find: %w", azdo.ErrNoPool), 77},
		{&azdo.Error{Op: "x", Cause: context.Canceled}, 130},
	} {
		if got := codeOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestCodesOfSetup(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{&setup.WrongIDError{}, 64}, {&setup.NoRoleError{}, 64},
		{fmt.Errorf("cannot find: %w", azdo.ErrServer), 69}, {fmt.Errorf("cannot find: %w", azdo.ErrForeign), 69}, {&setup.ClosedError{}, 69},
		{&setup.StepError{Cause: &azdo.RefusedError{Reason: "You are trying to invite"}}, 69}, {&azdo.Error{Status: 503}, 69},
		{&setup.StepError{Cause: &azdo.RefusedError{Reason: "VS403283: Could not add user"}}, 75}, {&setup.NotDoneError{}, 75},
		{fmt.Errorf("cannot give: %w", setup.ErrSelf), 77}, {&setup.NoPoolError{Cause: azdo.ErrNoPool}, 77}, {&setup.StepError{Cause: &azdo.Error{Status: 403}}, 77},
	} {
		if got := codeOfSetup(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestHintsOfTheirOwn(t *testing.T) {
	for _, err := range []error{&pool.HeldError{}, &pool.ClosedError{}, &pool.VersionError{}, &setup.WrongIDError{}, &setup.ClosedError{},
		&setup.NoPoolError{Cause: azdo.ErrNoPool}, &setup.MayNotError{}, &setup.NotDoneError{}, setup.ErrSelf, azdo.ErrServer, proc.ErrStartTimeout, proc.ErrThreadsBusy} {
		if hintFor(&exitError{1, err}) == "" {
			t.Errorf("%T has no hint", err)
		}
	}
}

// TestPlatformWords: config must not know host, so it has the words once more.
func TestPlatformWords(t *testing.T) {
	i := slices.IndexFunc(config.Table(), func(r config.Row) bool { return r.Env == "AZP_PLATFORM" })
	hinted := strings.Split(config.Table()[i].Hint, ", ")
	if len(hinted) != len(platform.Words()) {
		t.Errorf("config knows %v, host %v", hinted, platform.Words())
	}
	for _, word := range platform.Words() {
		s, err := config.Load(nil, []string{"AZP_URL=https://dev.azure.com/o", "AZP_TOKEN=t", "AZP_PLATFORM=" + string(word)}, "h")
		if err != nil || s.Platform != string(word) || !slices.Contains(hinted, string(word)) {
			t.Errorf("%s: %q, %v", word, s.Platform, err)
		}
	}
}
