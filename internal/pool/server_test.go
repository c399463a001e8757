package pool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// mishap is what happens to one call.
type mishap string

const (
	fine        mishap = "fine"
	lostBefore  mishap = "lost before"  // the server never saw it
	lostAfter   mishap = "lost after"   // the server acted, the answer is lost
	broken      mishap = "broken"       // 503
	brokenAfter mishap = "broken after" // 500, after it acted
	unreadable  mishap = "unreadable"   // acted, and answered something else than JSON
	throttled   mishap = "throttled"    // 429, come back in 3 s
	denied      mishap = "denied"       // 403
	refused     mishap = "refused"      // no connection
)

// server is a pool in memory. Mishaps are used up one a call, the rest is fine.
type server struct {
	mu      sync.Mutex
	queue   []azdo.JobRequest
	clock   time.Time
	agents  []azdo.Agent
	last    int
	mishaps []mishap
	calls   []string
	found   azdo.Pool
	meddle  func(call string) // somebody else, before the call is acted on
}

func newServer(agents ...azdo.Agent) *server {
	s := &server{found: azdo.Pool{ID: 1, Name: "Default", PoolType: "automation"}}
	for _, a := range agents {
		s.add(a)
	}
	return s
}

func (s *server) add(a azdo.Agent) azdo.Agent {
	s.last++
	a.ID = s.last
	if a.Status == "" {
		a.Status = "offline"
	}
	s.agents = append(s.agents, a)
	return a
}

// call lets a call happen, and returns what its caller learns.
func (s *server) call(ctx context.Context, name string, act func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	if err := context.Cause(ctx); err != nil {
		return &azdo.Error{Op: name, Cause: err}
	}
	if s.meddle != nil {
		s.meddle(name)
	}
	m := fine
	if len(s.mishaps) > 0 {
		m, s.mishaps = s.mishaps[0], s.mishaps[1:]
	}
	switch m {
	case lostBefore:
		return &azdo.Error{Op: name, Sent: true, Cause: errors.New("reset")}
	case refused:
		return &azdo.Error{Op: name, Cause: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	case broken:
		return &azdo.Error{Op: name, Status: http.StatusServiceUnavailable}
	case throttled:
		return &azdo.Error{Op: name, Status: http.StatusTooManyRequests, RetryAfter: 3 * time.Second}
	case denied:
		return &azdo.Error{Op: name, Status: http.StatusForbidden}
	}
	err := act()
	switch {
	case err != nil:
		return err
	case m == lostAfter:
		return &azdo.Error{Op: name, Sent: true, Cause: errors.New("reset")}
	case m == brokenAfter:
		return &azdo.Error{Op: name, Status: http.StatusInternalServerError}
	case m == unreadable:
		return &azdo.Error{Op: name, Status: http.StatusOK}
	}
	return nil
}

func (s *server) named(name string) int {
	return slices.IndexFunc(s.agents, func(a azdo.Agent) bool { return strings.EqualFold(a.Name, name) })
}

func (s *server) withID(id int) int {
	return slices.IndexFunc(s.agents, func(a azdo.Agent) bool { return a.ID == id })
}

func (s *server) FindPool(ctx context.Context, _ azdo.PoolRef) (p azdo.Pool, err error) {
	err = s.call(ctx, "pool", func() error { p = s.found; return nil })
	return p, err
}

func (s *server) Agents(ctx context.Context, _ int) (all []azdo.Agent, err error) {
	err = s.call(ctx, "list", func() error { all = slices.Clone(s.agents); return nil })
	return all, err
}

func (s *server) AgentByName(ctx context.Context, _ int, name string) (a azdo.Agent, there bool, err error) {
	err = s.call(ctx, "look", func() error {
		if i := s.named(name); i >= 0 {
			a, there = s.agents[i], true
		}
		return nil
	})
	if err != nil {
		return azdo.Agent{}, false, err
	}
	return a, there, nil
}

func (s *server) AddAgent(ctx context.Context, _ int, a azdo.Agent) (added azdo.Agent, err error) {
	err = s.call(ctx, "add", func() error {
		if s.named(a.Name) >= 0 {
			return &azdo.Error{Op: "add", Status: http.StatusConflict, TypeKey: "TaskAgentExistsException"}
		}
		added = s.add(a)
		return nil
	})
	if err != nil {
		return azdo.Agent{}, err
	}
	return added, nil
}

func (s *server) ReplaceAgent(ctx context.Context, _ int, a azdo.Agent) (azdo.Agent, error) {
	return a, s.call(ctx, "replace", func() error {
		i := s.withID(a.ID)
		if i < 0 {
			return &azdo.Error{Op: "replace", Status: http.StatusNotFound}
		}
		s.agents[i] = a
		return nil
	})
}

func (s *server) RemoveAgent(ctx context.Context, _, id int) error {
	return s.call(ctx, "remove", func() error {
		i := s.withID(id)
		if i < 0 {
			return &azdo.Error{Op: "remove", Status: http.StatusNotFound}
		}
		s.agents = slices.Delete(s.agents, i, i+1)
		return nil
	})
}

func (s *server) EachAgent(ctx context.Context, _ int, with azdo.Include, each func(azdo.Agent)) error {
	return s.call(ctx, "list", func() error {
		for _, a := range s.agents {
			a.SystemCapabilities = maps.Clone(a.SystemCapabilities) // as from the wire: nobody else's
			if !with.Capabilities {
				a.SystemCapabilities, a.UserCapabilities = nil, nil
			}
			if !with.AssignedRequest {
				a.AssignedRequest = nil
			}
			if !with.LastCompletedRequest {
				a.LastCompletedRequest = nil
			}
			each(a)
		}
		return nil
	})
}

func (s *server) AgentByID(ctx context.Context, _, id int, _ azdo.Include) (a azdo.Agent, err error) {
	err = s.call(ctx, "look again", func() error {
		i := s.withID(id)
		if i < 0 {
			return &azdo.Error{Op: "look again", Status: http.StatusNotFound}
		}
		a = s.agents[i]
		return nil
	})
	return a, err
}

func (s *server) SetEnabled(ctx context.Context, _, id int, on bool) error {
	return s.call(ctx, fmt.Sprintf("enable %v", on), func() error {
		i := s.withID(id)
		if i < 0 {
			return &azdo.Error{Op: "enable", Status: http.StatusNotFound}
		}
		s.agents[i].Enabled = &on
		return nil
	})
}

func (s *server) EachJobRequest(ctx context.Context, _, completed int, each func(azdo.JobRequest)) error {
	return s.call(ctx, "queue", func() error {
		for _, r := range s.queue {
			each(r)
		}
		return nil
	})
}

func (s *server) Now() time.Time { return s.clock }
