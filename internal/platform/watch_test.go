package platform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/platform"
)

// service is a metadata service without a network, for synctest.
type service struct {
	mu     sync.Mutex
	name   string
	events []map[string]any
	broken error
	slow   time.Duration // of the first answer
	asked  []time.Time   // times of the requests for events
	posts  []string
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		s.asked = append(s.asked, time.Now())
		return nil, s.broken
	}
	answer := func(status int, v any) (*http.Response, error) {
		b, err := json.Marshal(v)
		return &http.Response{StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(string(b)))}, err
	}
	switch {
	case r.Header.Get("Metadata") != "true" || r.URL.Host != "169.254.169.254":
		return answer(http.StatusBadRequest, "no")
	case r.URL.Path == "/metadata/instance/compute":
		return answer(http.StatusOK, map[string]string{"name": s.name, "vmScaleSetName": "agents"})
	case r.Method == http.MethodPost:
		b, err := io.ReadAll(r.Body)
		s.posts = append(s.posts, string(b))
		if err != nil {
			return nil, err
		}
		return answer(http.StatusOK, nil)
	case r.URL.RawQuery != "api-version=2020-07-01":
		return answer(http.StatusBadRequest, "no")
	}
	if s.slow > 0 {
		slow := s.slow
		s.slow = 0
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.asked = append(s.asked, time.Now())
	return answer(http.StatusOK, map[string]any{"DocumentIncarnation": 1, "Events": s.events})
}

func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func event(id, kind string, in time.Duration, resources ...string) map[string]any {
	return map[string]any{
		"EventId": id, "EventType": kind, "ResourceType": "VirtualMachine", "Resources": resources, "EventStatus": "Scheduled",
		"NotBefore": time.Now().Add(in).UTC().Format(http.TimeFormat), "Description": "", "EventSource": "Platform", "DurationInSeconds": -1,
	}
}

// told are the calls of a watcher's functions, as text.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (l *told) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *told) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, ", ")
}

// watching runs a watcher and a script, and returns the calls of its functions.
func watching(t *testing.T, s *service, script func()) string {
	var said told
	w := &platform.Watcher{
		Metadata: &platform.Metadata{HTTP: &http.Client{Transport: s}}, Lead: 15 * time.Minute,
		OnAnnounced: func(n platform.Event) { said.add("%s announced", n.ID) },
		OnDue:       func(n platform.Event) { said.add("%s due", n.ID) },
		OnReachable: func(err error) { said.add("silent %v", err != nil) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { ; w.Run(ctx) })
	script()
	cancel()
	done.Wait()
	return said.text()
}

// TestWatcher checks which functions are called, and when.
func TestWatcher(t *testing.T) {
	// pass lets time pass, on the fake clock of the synctest bubble.
	pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
	for _, tt := range []struct {
		name   string
		script func(*service)
		said   string
	}{
		{"nothing is announced", func(s *service) { pass(time.Hour) }, ""},
		{"a spot machine is taken away", func(s *service) {
			pass(time.Minute)
			s.set(func() { s.events = append(s.events, event("a", "Preempt", 30*time.Second, "AGENTS_0")) })
			pass(time.Minute)
		}, "a announced, a due"},
		{"others' events, and a pause", func(s *service) {
			s.set(func() {
				s.events = append(s.events, event("a", "Reboot", time.Minute, "agents_1"), event("b", "Freeze", time.Minute, "agents_0"),
					event("c", "Redeploy", time.Minute), event("d", "Terminate", time.Minute, "agents_1", "agents_0"))
			})
			pass(time.Minute)
		}, "d announced, d due"},
		{"failing hardware, long before: due when its time has come", func(s *service) {
			s.set(func() { s.events = append(s.events, event("a", "Redeploy", 8*time.Hour, "agents_0")) })
			pass(7 * time.Hour)
			s.set(func() { s.events[0]["Description"] = "not yet" })
			pass(40 * time.Minute)
			s.set(func() { s.events = append(s.events, event("b", "Freeze", 5*time.Minute, "agents_0")) })
			pass(10 * time.Minute)
		}, "a announced, a due"},
		{"it is called off", func(s *service) {
			s.set(func() { s.events = append(s.events, event("a", "Redeploy", time.Hour, "agents_0")) })
			pass(10 * time.Minute)
			s.set(func() { s.events = nil })
			pass(2 * time.Hour)
		}, "a announced"},
		{"it comes earlier, and then at once", func(s *service) {
			s.set(func() { s.events = append(s.events, event("a", "Reboot", 10*time.Minute, "agents_0")) })
			pass(time.Minute)
			s.set(func() { s.events[0] = event("a", "Reboot", 2*time.Minute, "agents_0") })
			pass(10 * time.Second)
			s.set(func() { s.events[0] = event("a", "Reboot", 5*time.Minute, "agents_0") }) // a later time is not reported
			pass(10 * time.Second)
			s.set(func() { s.events[0]["EventStatus"], s.events[0]["NotBefore"] = "Started", "" })
			pass(10 * time.Second)
		}, "a announced, a due, a due, a due"},
		{"it had started before: the machine has booted since", func(s *service) {
			s.set(func() {
				s.events = append(s.events, event("a", "Reboot", 0, "agents_0"))
				s.events[0]["EventStatus"], s.events[0]["NotBefore"] = "Started", ""
			})
			pass(time.Minute)
		}, ""},
		{"a time that cannot be read is now", func(s *service) {
			s.set(func() {
				s.events = append(s.events, event("a", "Preempt", 0, "agents_0"))
				s.events[0]["NotBefore"] = "soon"
			})
			pass(time.Minute)
		}, "a announced, a due"},
		{"it is closed: said once, and asked now and then", func(s *service) {
			s.set(func() { s.broken = errors.New("connection refused") })
			pass(time.Hour)
			s.set(func() {
				if n := len(s.asked); n < 55 || n > 75 {
					panic(fmt.Sprintf("asked %d times within an hour", n))
				}
				s.broken = nil
				s.events = append(s.events, event("a", "Preempt", 3*time.Minute, "agents_0"))
			})
			pass(2 * time.Minute)
		}, "silent true, a announced, a due, silent false"},
		{"the first answer takes two minutes", func(s *service) {
			s.set(func() { s.slow = 2 * time.Minute })
			pass(3 * time.Minute)
			s.set(func() { s.slow = 2 * time.Minute }) // a later request times out
			pass(3 * time.Minute)
		}, "silent true, silent false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{name: "agents_0"}
				if said := watching(t, s, func() { tt.script(s) }); said != tt.said {
					t.Errorf("said %q, want %q", said, tt.said)
				}
			})
		})
	}
}

// TestPollsEverySecond: Azure recommends one request a second, and allows five for a machine.
func TestPollsEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{name: "agents_0"}
		watching(t, s, func() { time.Sleep(time.Minute) })
		if len(s.asked) < 59 || len(s.asked) > 61 {
			t.Errorf("asked %d times in a minute", len(s.asked))
		}
	})
}

func TestApprove(t *testing.T) {
	s := &service{name: "agents_0"}
	m := &platform.Metadata{HTTP: &http.Client{Transport: s}}
	if err := m.Approve(t.Context(), "f020ba2e"); err != nil || len(s.posts) != 1 || s.posts[0] != `{"StartRequests":[{"EventId":"f020ba2e"}]}` {
		t.Errorf("%v, %q", err, s.posts)
	}
	s.broken = errors.New("away")
	if err := m.Approve(t.Context(), "x"); err == nil {
		t.Error("approved without an answer")
	}
}

// TestOtherMachines: an approval of an event applies to all machines that it concerns.
func TestOtherMachines(t *testing.T) {
	s := &service{name: "vm-1", events: []map[string]any{event("a", "Reboot", time.Minute, "VM-1"), event("b", "Reboot", time.Minute, "vm-0", "vm-1", "vm-2")}}
	notices, err := (&platform.Metadata{HTTP: &http.Client{Transport: s}}).Events(t.Context())
	if err != nil || len(notices) != 2 || len(notices[0].OtherMachines) != 0 || strings.Join(notices[1].OtherMachines, " ") != "vm-0 vm-2" {
		t.Errorf("%+v, %v", notices, err)
	}
}

// TestWaitForMaintenance: it waits while an event is about to end the machine, until the event is
// over or cancelled. It returns at once if no service answers.
func TestWaitForMaintenance(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(*service)
		takes  time.Duration
		told   int
	}{
		{"nothing is announced", func(*service) {}, 0, 0},
		{"nobody to ask", func(s *service) { s.broken = errors.New("connection refused") }, 0, 0},
		{"nobody answers", func(s *service) { s.slow = time.Hour }, time.Second, 0},
		{"called off", func(s *service) {
			s.events = []map[string]any{event("a", "Reboot", 15*time.Minute, "agents_0")}
			time.AfterFunc(89500*time.Millisecond, func() { s.set(func() { s.events = nil }) })
		}, 90 * time.Second, 1},
		{"it starts, and is over for us", func(s *service) {
			s.events = []map[string]any{event("a", "Reboot", time.Minute, "agents_0")}
			time.AfterFunc(59500*time.Millisecond, func() {
				s.set(func() { s.events[0]["EventStatus"], s.events[0]["NotBefore"] = "Started", "" })
			})
			time.AfterFunc(5*time.Minute-500*time.Millisecond, func() { s.set(func() { s.events = nil }) })
		}, 5 * time.Minute, 1},
		{"it had started: we have booted", func(s *service) {
			s.events = []map[string]any{event("a", "Reboot", 0, "agents_0")}
			s.events[0]["EventStatus"], s.events[0]["NotBefore"] = "Started", ""
		}, 0, 0},
		{"days ahead, or another machine's", func(s *service) {
			s.events = []map[string]any{event("a", "Redeploy", 72*time.Hour, "agents_0"), event("b", "Preempt", time.Minute, "agents_1")}
		}, 0, 0},
		{"the service goes away meanwhile", func(s *service) {
			s.events = []map[string]any{event("a", "Reboot", 15*time.Minute, "agents_0")}
			time.AfterFunc(10500*time.Millisecond, func() { s.set(func() { s.broken = errors.New("connection refused") }) })
		}, 41 * time.Second, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{name: "agents_0"}
				tt.script(s)
				begun, told := time.Now(), 0
				(&platform.Metadata{HTTP: &http.Client{Transport: s}}).WaitForMaintenance(t.Context(), 15*time.Minute, func(platform.Event) { told++ })
				if took := time.Since(begun); took != tt.takes || told != tt.told {
					t.Errorf("took %v and told %d, want %v and %d", took, told, tt.takes, tt.told)
				}
			})
		})
	}
}
