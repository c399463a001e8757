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

// EventKind is what Azure is going to do to a machine, in the words of Scheduled
// Events.
type EventKind string

// The kinds that end what runs on the machine. Freeze, a pause of a few seconds
// that nothing is lost by, is not among them.
const (
	Preempt   EventKind = "Preempt"   // the spot machine is taken away: 30 s of notice
	Terminate EventKind = "Terminate" // it is deleted, by a scale set for example: 5 to 15 min, where that is set up
	Reboot    EventKind = "Reboot"    // 15 min
	Redeploy  EventKind = "Redeploy"  // it is moved to another host: 10 min
)

// Event is one such event, about this machine.
type Event struct {
	ID            string
	Kind          EventKind
	NotBefore     time.Time // zero: not told, as of one that has started
	Started       bool
	Description   string
	Source        string   // "Platform" or "User"
	OtherMachines []string // other machines that it is about
}

// metadataURL is the metadata service's on every machine in a virtual network.
const metadataURL = "http://169.254.169.254"

// The versions of the two ways (Azure's pages on
// Scheduled Events and the Instance Metadata Service).
const (
	eventsVersion   = "2020-07-01"
	instanceVersion = "2021-02-01"
)

// maxResponse bounds an answer: a placement group has at most some hundred
// machines.
const maxResponse = 1 << 20

// Metadata asks the machine's metadata service.
type Metadata struct {
	http    *http.Client
	baseURL string
}

// NewMetadata returns a Metadata that asks by client, which must not use a proxy.
// Base is the service's address; "" is the real one's.
func NewMetadata(client *http.Client, base string) *Metadata {
	if base == "" {
		base = metadataURL
	}
	return &Metadata{client, base}
}

// MachineName is this machine's name as events have it: the name of its resource,
// which in a uniform scale set is set_0, and not the host's name set000000
// (azure-docs#62522).
func (m *Metadata) MachineName(ctx context.Context) (string, error) {
	b, err := m.request(ctx, http.MethodGet, "/metadata/instance/compute?api-version="+instanceVersion, nil)
	if err != nil {
		return "", fmt.Errorf("cannot get this machine's name: %w", err)
	}
	return parseMachineName(b)
}

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

// Events are the events that are about this machine now. Those of a whole
// availability set or placement group are told to each of its machines.
func (m *Metadata) Events(ctx context.Context, machine string) ([]Event, error) {
	b, err := m.request(ctx, http.MethodGet, "/metadata/scheduledevents?api-version="+eventsVersion, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot get scheduled events: %w", err)
	}
	return parseEvents(b, machine)
}

// Approve tells Azure not to wait until an event's time. That lets the event go
// ahead for every machine that it is about.
func (m *Metadata) Approve(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]any{"StartRequests": []map[string]string{{"EventId": id}}})
	if err == nil {
		_, err = m.request(ctx, http.MethodPost, "/metadata/scheduledevents?api-version="+eventsVersion, body)
	}
	if err != nil {
		return fmt.Errorf("cannot approve the scheduled event: %w", err)
	}
	return nil
}

func (m *Metadata) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Metadata", "true")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the metadata service says %d", resp.StatusCode)
	}
	return b, nil
}

// parseEvents takes from a document of scheduled events what is about a machine.
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
