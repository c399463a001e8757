package supervisor

import (
	"testing"
	"time"
)

// TestLaunchHangs: the start of a listener hangs in a file system. The agent is removed
// within the grace period.
func TestLaunchHangs(t *testing.T) {
	s := play(t, nil, func(s *stage) {
		s.hung = make(chan struct{})
		s.begin()
		s.advance(2 * time.Second)
		s.sigterm()
	})
	if s.agentsLeft() != "" || s.end.Code != 0 || s.took > 90*time.Second {
		t.Errorf("after %v: exit code %d, agents left: %s", s.took, s.end.Code, s.agentsLeft())
	}
}

// TestScanHangs: a job left a process, and reading about it in /proc hangs.
func TestScanHangs(t *testing.T) {
	s := play(t, nil, func(s *stage) {
		s.ready()
		s.hung = make(chan struct{})
		s.listener().unseen = true
		s.sigterm()
	})
	if s.agentsLeft() != "" || s.end.Code != 0 || s.took > 90*time.Second {
		t.Errorf("after %v: exit code %d, agents left: %s", s.took, s.end.Code, s.agentsLeft())
	}
}
