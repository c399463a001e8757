package cli

import (
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

func TestHintsOfTheirOwn(t *testing.T) {
	for _, err := range []error{&pool.NameTakenError{}, &pool.ClosedError{}, &pool.InvalidVersionError{}, &setup.Error{Cause: azdo.ErrNoPool, Advice: "see the portal"},
		setup.ErrSelf, azdo.ErrAzureDevOpsServer, proc.ErrStartTimeout, proc.ErrThreadsBusy} {
		if hintFor(exitcode.With(1, err)) == "" {
			t.Errorf("%T has no hint", err)
		}
	}
}
