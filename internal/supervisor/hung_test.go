package supervisor

import (
	"testing"
	"time"
)

// A listener cannot be started, because a file system does not answer. The agent is
// removed in the rest of the grace period.
func TestALaunchThatHangs(t *testing.T) {
	s := play(t, nil, func(s *stage) {
		s.hung = make(chan struct{})
		s.begin()
		s.pass(2 * time.Second)
		s.sigterm()
	})
	if s.agentsLeft() != "" || s.end.Code != 0 || s.took > 90*time.Second {
		t.Errorf("after %v: exit code %d, and these stay: %s", s.took, s.end.Code, s.agentsLeft())
	}
}

// A job has left a process that hangs whoever looks at it.
func TestALookThatHangs(t *testing.T) {
	s := play(t, nil, func(s *stage) {
		s.ready()
		s.hung = make(chan struct{})
		s.listener().unseen = true
		s.sigterm()
	})
	if s.agentsLeft() != "" || s.end.Code != 0 || s.took > 90*time.Second {
		t.Errorf("after %v: exit code %d, and these stay: %s", s.took, s.end.Code, s.agentsLeft())
	}
}
