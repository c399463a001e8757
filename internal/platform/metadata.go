package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// EventKind is the EventType of Scheduled Events: what Azure will do to the machine.
type EventKind string

// The kinds that end the processes of the machine. Freeze, a pause of a few seconds, does not.
const (
	Preempt   EventKind = "Preempt"   // the spot machine is evicted: 30 s of notice
	Terminate EventKind = "Terminate" // it is deleted, by a scale set for example: 5 to 15 min, if configured
	Reboot    EventKind = "Reboot"    // 15 min
	Redeploy  EventKind = "Redeploy"  // it is moved to another host: 10 min
)

// Event is a scheduled event of this machine.
type Event struct {
	ID            string
	Kind          EventKind
	NotBefore     time.Time // zero: unknown, or it has started
	Started       bool
	Description   string
	Source        string   // "Platform" or "User"
	OtherMachines []string // other machines that it concerns
}

// metadataURL is the metadata service of virtual machines in Azure.
const metadataURL = "http://169.254.169.254"

// The paths with their versions (Azure's pages on Scheduled Events and the Instance Metadata
// Service).
const (
	eventsPath   = "/metadata/scheduledevents?api-version=2020-07-01"
	instancePath = "/metadata/instance/compute?api-version=2021-02-01"
)

// maxResponse is the maximum size of an answer. A placement group has some hundred machines.
const maxResponse = 1 << 20

// Metadata calls the machine's metadata service.
type Metadata struct {
	HTTP    *http.Client // must not use a proxy
	machine string       // this machine's name in events; "" until it is known
}

// parseMachineName returns the machine's name in its metadata. Events contain the resource's
// name, which is set_0 in a uniform scale set, not the host name set000000
// (azure-docs#62522).
func parseMachineName(b []byte) (string, error) {
	var compute struct{ Name string }
	if err := json.Unmarshal(b, &compute); err != nil {
		return "", fmt.Errorf("cannot get this machine's name: %w", err)
	}
	if compute.Name == "" {
		return "", errors.New("cannot get this machine's name: the metadata service returned none")
	}
	return compute.Name, nil
}

// Events returns the pending events of this machine. The service returns the events of all
// machines in an availability set or placement group.
func (m *Metadata) Events(ctx context.Context) ([]Event, error) {
	if m.machine == "" {
		b, err := m.request(ctx, http.MethodGet, instancePath, nil)
		if err != nil {
			return nil, fmt.Errorf("cannot get this machine's name: %w", err)
		}
		if m.machine, err = parseMachineName(b); err != nil {
			return nil, err
		}
	}
	b, err := m.request(ctx, http.MethodGet, eventsPath, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot get scheduled events: %w", err)
	}
	return parseEvents(b, m.machine)
}

// Approve tells Azure not to wait until an event's time. The event then starts for all machines
// that it concerns.
func (m *Metadata) Approve(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]any{"StartRequests": []map[string]string{{"EventId": id}}})
	if err == nil {
		_, err = m.request(ctx, http.MethodPost, eventsPath, body)
	}
	if err != nil {
		return fmt.Errorf("cannot approve the scheduled event: %w", err)
	}
	return nil
}

func (m *Metadata) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, metadataURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Metadata", "true")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := m.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the metadata service answers %d", resp.StatusCode)
	}
	return b, nil
}

// parseEvents returns the events of a machine in the service's document.
func parseEvents(b []byte, machine string) ([]Event, error) {
	var document struct {
		Events []struct {
			EventID     string `json:"EventId"`
			EventType   EventKind
			Resources   []string
			EventStatus string
			NotBefore   string
			Description string
			EventSource string
		}
	}
	if err := json.Unmarshal(b, &document); err != nil {
		return nil, fmt.Errorf("cannot read the scheduled events: %w", err)
	}
	var notices []Event
	for _, e := range document.Events {
		isUs := func(name string) bool { return strings.EqualFold(name, machine) }
		if e.EventID == "" || !e.EventType.endsMachine() || !slices.ContainsFunc(e.Resources, isUs) {
			continue
		}
		n := Event{
			ID: e.EventID, Kind: e.EventType, Started: e.EventStatus == "Started",
			Description: e.Description, Source: e.EventSource, OtherMachines: slices.DeleteFunc(e.Resources, isUs),
		}
		if at, err := http.ParseTime(e.NotBefore); err == nil { // RFC 1123: Mon, 19 Sep 2016 18:29:47 GMT
			n.NotBefore = at
		}
		notices = append(notices, n)
	}
	return notices, nil
}

func (k EventKind) endsMachine() bool {
	switch k {
	case Preempt, Terminate, Reboot, Redeploy:
		return true
	}
	return false
}
