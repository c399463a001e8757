package supervisor

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/mslistener"
)

// handedOver is an agent that another azptend registered.
func handedOver(t *testing.T) agentdir.HandoffFiles {
	var out agentdir.Dir
	play(t, func(o *Options) {
		out = agentdir.Dir{Root: filepath.Join(o.Dir.Root, "out")}
		o.Policy.RegisterOnly, o.Dir = true, out
	}, func(s *stage) { s.begin() })
	given, err := out.ReadHandoff()
	if err != nil {
		t.Fatal(err)
	}
	return given
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestNotReady: azptend warns of a listener that is not ready after a minute, with the
// reason, and again at growing intervals until it is ready.
func TestNotReady(t *testing.T) {
	given := handedOver(t)
	for _, tt := range []struct {
		name  string
		with  func(*Options)
		logs  []mslistener.ProblemKind
		wants string
	}{
		{"the log shows no reason", nil, nil, "reason=\"no session: the listener's log does not say why\""},
		{"the clock, by the server", func(o *Options) { o.ClockAhead = func() time.Duration { return -20 * time.Minute } },
			[]mslistener.ProblemKind{mslistener.RegistrationRefused}, "reason=\"clock skew: the server's clock and this machine's differ by 20m0s\""},
		{"the clock, by the listener", nil, []mslistener.ProblemKind{mslistener.ClockSkew, mslistener.ServerUnreachable}, "reason=\"clock skew: the server refuses"},
		{"the certificate", nil, []mslistener.ProblemKind{mslistener.CertificateUntrusted}, "reason=\"certificate: the listener does not trust the server's certificate\" hint=\"set AZP_CA_FILE"},
		{"another's session", nil, []mslistener.ProblemKind{mslistener.SessionConflict}, "reason=\"session conflict: another listener has"},
		{"an answer", nil, []mslistener.ProblemKind{mslistener.ServerUnreachable}, "reason=\"server unreachable: the listener reports: "},
		{"nothing any more", nil, []mslistener.ProblemKind{mslistener.CertificateUntrusted, mslistener.NoProblem}, "does not say why"},
	} {
		for _, lent := range []bool{false, true} {
			if lent && tt.with != nil {
				continue // without a server there is no clock to compare with
			}
			t.Run(tt.name+map[bool]string{true: ", without an identity"}[lent], func(t *testing.T) {
				var log lockedBuffer
				s := play(t, func(o *Options) {
					o.Log = slog.New(slog.NewTextHandler(&log, nil))
					if tt.with != nil {
						tt.with(o)
					}
					if lent {
						o.Handoff, o.Server = &given, nil
					}
				}, func(s *stage) {
					if lent {
						s.agents[8], s.next = &azdo.Agent{ID: 8, Name: "agent-1"}, 8
					}
					s.silent = true
					s.begin()
					for _, kind := range tt.logs {
						s.listener().logs(kind)
					}
					s.advance(59 * time.Second)
					if said := strings.Count(log.String(), "The agent is not ready"); said != 0 {
						s.t.Errorf("logged %d times in less than a minute", said)
					}
					s.advance(10*time.Minute - 59*time.Second) // after 1, 3 and 7 minutes
					s.listener().connects(s.listener().pid)
					s.listener().logsOn()
					s.advance(time.Hour)
					s.sigterm()
				})
				said := log.String()
				if n := strings.Count(said, "The agent is not ready"); n != 3 || !strings.Contains(said, tt.wants) || s.end.Code != 0 {
					t.Errorf("logged %d times, exit code %d:\n%s", n, s.end.Code, said)
				}
			})
		}
	}
}
