package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

func TestHintsOfTheirOwn(t *testing.T) {
	for _, err := range []error{&pool.NameTakenError{}, &pool.ClosedError{}, &pool.InvalidVersionError{}, &setup.WrongIDError{}, &setup.ClosedPoolError{},
		&setup.NoPoolError{Cause: azdo.ErrNoPool}, &setup.PermissionError{}, &setup.UnconfirmedError{}, setup.ErrSelf, azdo.ErrAzureDevOpsServer, proc.ErrStartTimeout, proc.ErrThreadsBusy} {
		if hintFor(exitcode.With(1, err)) == "" {
			t.Errorf("%T has no hint", err)
		}
	}
}

// TestPlatformWords: config must not know host, so it has the words once more.
func TestPlatformWords(t *testing.T) {
	i := slices.IndexFunc(config.Table(), func(r config.Setting) bool { return r.Env == "AZP_PLATFORM" })
	hinted := strings.Split(config.Table()[i].Hint, ", ")
	if len(hinted) != len(platform.All()) {
		t.Errorf("config knows %v, host %v", hinted, platform.All())
	}
	for _, word := range platform.All() {
		s, err := config.Load(nil, []string{"AZP_URL=https://dev.azure.com/o", "AZP_TOKEN=t", "AZP_PLATFORM=" + string(word)}, "h")
		if err != nil || s.Platform != string(word) || !slices.Contains(hinted, string(word)) {
			t.Errorf("%s: %q, %v", word, s.Platform, err)
		}
	}
}
