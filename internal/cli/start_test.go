package cli

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/logqueue"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
)

// TestAStartThatHangs: a signal ends a start that hangs. A run whose agents handle signals is
// waited for.
func TestAStartThatHangs(t *testing.T) {
	for _, begins := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var said bytes.Buffer
			s := &startWatch{agentsRun: make(chan struct{})}
			s.run.Store(&agentRun{log: slog.New(slog.NewTextHandler(&said, nil))})
			var signals proc.Signals
			signals.Add(proc.Signal{Signal: syscall.SIGTERM, Action: proc.Drain})
			err := s.watch(Process{settings: &config.Settings{}, redactor: &secret.Redactor{}, errors: logqueue.New(os.Stderr)}, &signals, func() error {
				if begins {
					close(s.agentsRun)
				}
				time.Sleep(time.Hour)
				return exitcode.Silent(exitcode.TryAgain)
			})
			want := exitcode.OK
			if begins {
				want = exitcode.TryAgain
			}
			if exitcode.Of(err) != want || strings.Contains(said.String(), "does not respond") == begins {
				t.Errorf("begins %v: %v, and it said %q", begins, err, said.String())
			}
			time.Sleep(time.Hour)
		})
	}
}
