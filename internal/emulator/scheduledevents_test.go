package emulator

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

const eventsPath = "!/metadata/scheduledevents?api-version=2020-07-01"

// TestScheduledEvents: an event is announced, starts at its time or when it is approved, and
// disappears. The incarnation increases with each change.
func TestScheduledEvents(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Machine = "agents_0" })
	look := func() got { return w.want(200, w.call("GET", eventsPath, "", nil, "Metadata: true")) }
	if g := look(); g.num("DocumentIncarnation") != 0 || g.at("Events", 0) != nil || !strings.Contains(g.raw, `"Events":[]`) {
		t.Errorf("at first: %s", g.raw)
	}
	control := NewControl(w.url, w.client)
	id, err := control.Announce(w.ctx(), Announcement{Type: "Preempt"})
	if err != nil {
		t.Fatal(err)
	}
	g := look()
	want := w.Now().Add(30 * time.Second).Format(http.TimeFormat)
	if g.at("Events", 0, "EventId") != id || g.at("Events", 0, "NotBefore") != want || g.at("Events", 0, "Resources", 0) != "agents_0" ||
		g.at("Events", 0, "EventStatus") != "Scheduled" || g.at("Events", 0, "DurationInSeconds") != -1.0 || g.num("DocumentIncarnation") != 1 {
		t.Errorf("announced: %s", g.raw)
	}
	w.Advance(31 * time.Second)
	if g := look(); g.at("Events", 0, "EventStatus") != "Started" || g.at("Events", 0, "NotBefore") != "" || g.num("DocumentIncarnation") != 2 {
		t.Errorf("its time has come: %s", g.raw)
	}
	if err := control.EndEvent(w.ctx(), id); err != nil {
		t.Fatal(err)
	}
	if g := look(); g.at("Events", 0) != nil || g.num("DocumentIncarnation") != 3 {
		t.Errorf("it is over: %s", g.raw)
	}
	if err := control.EndEvent(w.ctx(), id); !errors.Is(err, ErrNotFound) {
		t.Errorf("over twice: %v", err)
	}
	id, err = w.Announce(Announcement{Type: "Reboot", Resources: []string{"agents_0", "agents_1"}, Source: "User"})
	if err != nil {
		t.Fatal(err)
	}
	w.want(200, w.call("POST", eventsPath, "", map[string]any{"StartRequests": []any{map[string]string{"EventId": strings.ToLower(id)}}}, "Metadata: true"))
	if g := look(); g.at("Events", 0, "EventStatus") != "Started" || g.at("Events", 0, "EventSource") != "User" {
		t.Errorf("approved: %s", g.raw)
	}
	if _, err := w.Announce(Announcement{Type: "Terminate", Started: true}); err != nil {
		t.Error(err)
	}
	if _, err := w.Announce(Announcement{Type: "Explode"}); err == nil {
		t.Error("an unknown kind is announced")
	}
}

// TestMetadataRefusals: the header and the version are required, and forwarded requests are
// refused.
func TestMetadataRefusals(t *testing.T) {
	w := newWorld(t)
	const machine = "!/metadata/instance/compute?api-version=2021-02-01"
	for _, tt := range []struct {
		name, method, path string
		body               any
		headers            []string
		status             int
	}{
		{"no header", "GET", eventsPath, nil, nil, 400},
		{"forwarded", "GET", eventsPath, nil, []string{"Metadata: true", "X-Forwarded-For: 10.0.0.1"}, 400},
		{"no version", "GET", "!/metadata/scheduledevents", nil, []string{"Metadata: true"}, 400},
		{"no header to approve", "POST", eventsPath, map[string]any{}, nil, 400},
		{"nothing to approve", "POST", eventsPath, map[string]any{}, []string{"Metadata: true"}, 400},
		{"an unknown event", "POST", eventsPath, map[string]any{"StartRequests": []any{map[string]string{"EventId": "x"}}}, []string{"Metadata: true"}, 400},
		{"no GET", "PUT", eventsPath, nil, []string{"Metadata: true"}, 405},
		{"machine, no header", "GET", machine, nil, nil, 400},
		{"machine", "GET", machine, nil, []string{"Metadata: true"}, 200},
		{"machine, a leaf as JSON", "GET", strings.Replace(machine, "compute", "compute/name", 1), nil, []string{"Metadata: true"}, 400},
		{"machine, a leaf as text", "GET", strings.Replace(machine, "compute", "compute/name", 1) + "&format=text", nil, []string{"Metadata: true"}, 200},
		{"elsewhere", "GET", "!/metadata/attested/document?api-version=2021-02-01", nil, []string{"Metadata: true"}, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := w.want(tt.status, w.call(tt.method, tt.path, "", tt.body, tt.headers...))
			if tt.status == 200 && !strings.Contains(g.raw, "emulated-vm") {
				t.Errorf("it says %s", g.raw)
			}
		})
	}
}
