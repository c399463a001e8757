package azdo_test

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// refuses is a permanent error of an identity.
type refuses struct{ error }

func (refuses) Permanent() bool { return true }

// TestClassOf checks the classes that only other packages than supervisor use. The others
// are in supervisor's TestResultOf.
func TestClassOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want azdo.Class
	}{
		"none":                      {nil, azdo.NoError},
		"another package's":         {io.EOF, azdo.Unknown},
		"not sent":                  {&azdo.Error{Cause: syscall.ECONNREFUSED}, azdo.Transient},
		"200 without JSON":          {&azdo.Error{Status: 200}, azdo.NotJSON},
		"redirect":                  {&azdo.Error{Status: 302}, azdo.Refused},
		"no token for good":         {fmt.Errorf("x: %w", &azdo.TokenError{Cause: refuses{io.EOF}}), azdo.NoToken},
		"no token":                  {&azdo.TokenError{Cause: io.EOF}, azdo.Transient},
		"principal of a moment ago": {&azdo.RefusedError{Reason: "VS403283: Could not add user"}, azdo.NotReady},
		"refused with 200":          {fmt.Errorf("x: %w", &azdo.RefusedError{Reason: "VS403229"}), azdo.Refused},
		"no pool":                   {&azdo.NoPoolError{}, azdo.Denied},
	} {
		if got := azdo.ClassOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := azdo.RetryAfter(fmt.Errorf("x: %w", &azdo.Error{RetryAfter: time.Minute})); got != time.Minute {
		t.Errorf("the server asks for %v", got)
	}
	if got := azdo.RetryAfter(errors.New("x")); got != 0 {
		t.Errorf("nobody asks, and it is %v", got)
	}
}
