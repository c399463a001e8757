package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// This file emulates Scheduled Events, as Azure's pages on Scheduled Events and the Instance Metadata Service describe
// them. NotBefore is by the emulator's clock; a notice is never scaled.

// The kinds of scheduled events, with the least notice that Azure gives of each.
var scheduledKinds = map[string]time.Duration{
	"Freeze": 15 * time.Minute, "Reboot": 15 * time.Minute, "Redeploy": 10 * time.Minute,
	"Preempt": 30 * time.Second, "Terminate": 5 * time.Minute, // to 15, as the scale set is set up
}

// Announcement is an event that the metadata service is to announce.
type Announcement struct {
	Type        string   `json:"type"`                  // Freeze, Reboot, Redeploy, Preempt or Terminate
	Notice      string   `json:"notice,omitempty"`      // until NotBefore, such as "30s"; default the least that Azure gives
	Resources   []string `json:"resources,omitempty"`   // machines; default Options.Machine alone
	Source      string   `json:"source,omitempty"`      // Platform (default) or User
	Description string   `json:"description,omitempty"` // default Azure's own of a host's maintenance
	Started     bool     `json:"started,omitempty"`     // at once, as after a host's failure
}

// scheduledEvent is an event in the metadata service's format.
type scheduledEvent struct {
	EventID           string `json:"EventId"`
	EventStatus       string
	EventType         string
	ResourceType      string
	Resources         []string
	NotBefore         string
	Description       string
	EventSource       string
	DurationInSeconds int
}

type scheduled struct {
	scheduledEvent
	notBefore time.Time
}

// Announce makes the metadata service announce an event, and returns its id. It starts when its time has come or it is
// approved, which shows at the next look, and stays until EndEvent.
func (e *Emulator) Announce(a Announcement) (string, error) {
	notice, known := scheduledKinds[a.Type]
	if !known {
		return "", fmt.Errorf("cannot announce an event: %q is none of Freeze, Reboot, Redeploy, Preempt and Terminate", a.Type)
	}
	if a.Notice != "" {
		var err error
		if notice, err = parseDuration("notice", a.Notice); err != nil {
			return "", err
		}
	}
	defer e.change()()
	if len(a.Resources) == 0 {
		a.Resources = []string{e.opts.Machine}
	}
	at := e.Now().Add(notice)
	s := &scheduled{notBefore: at, scheduledEvent: scheduledEvent{
		EventID: strings.ToUpper(newGUID()), EventStatus: "Scheduled", EventType: a.Type, ResourceType: "VirtualMachine",
		Resources: a.Resources, NotBefore: at.Format(http.TimeFormat), EventSource: cmp.Or(a.Source, "Platform"),
		Description: cmp.Or(a.Description, "Host server is undergoing maintenance."), DurationInSeconds: -1,
	}}
	e.scheduled = append(e.scheduled, s)
	e.incarnation++
	e.record(Event{Type: EventScheduled, Detail: a.Type})
	if a.Started {
		e.startEvent(s)
	}
	return s.EventID, nil
}

// EndEvent removes a scheduled event: it is over, or canceled.
func (e *Emulator) EndEvent(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.scheduledByID(id)
	if s == nil {
		return fmt.Errorf("cannot end event %q: %w", id, ErrNotFound)
	}
	e.scheduled = without(e.scheduled, s)
	e.incarnation++
	return nil
}

func (e *Emulator) scheduledByID(id string) *scheduled {
	return first(e.scheduled, func(s *scheduled) bool { return strings.EqualFold(s.EventID, id) })
}

// startEvent starts an event: NotBefore is empty from now on. mu is held.
func (e *Emulator) startEvent(s *scheduled) {
	s.EventStatus, s.NotBefore = "Started", ""
	e.incarnation++
	e.record(Event{Type: EventScheduledStarted, Detail: s.EventType})
}

// serveInstance describes the machine. Clients need its name to recognise the events for this machine. mu is held.
func (e *Emulator) serveInstance(c *request, path string) reply {
	if err := checkMetadata(c, http.MethodGet, "2017-04-02"); err != nil {
		return asReply(err)
	}
	if strings.HasSuffix(path, "/name") {
		if strings.EqualFold(c.query("format"), "text") {
			return reply{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: []byte(e.opts.Machine)}
		}
		return metadataProblem(http.StatusBadRequest, "Bad request. Requested format is not allowed") // a leaf has no JSON
	}
	set, _, inSet := strings.Cut(e.opts.Machine, "_")
	return jsonReply(http.StatusOK, obj{ // every primitive is a string
		"name": e.opts.Machine, "vmScaleSetName": choose(inSet, set, ""),
		"osType": "Linux", "location": "westeurope", "azEnvironment": "AzurePublicCloud", "vmId": e.instanceID,
	})
}

// serveScheduledEvents lists the events, or has one approved: "always returns a 200 success code if it's passed a valid
// event ID"; that an unknown one is a 400 like a malformed request is assumed. mu is held.
func (e *Emulator) serveScheduledEvents(c *request) reply {
	approves := c.http.Method == http.MethodPost
	if err := checkMetadata(c, choose(approves, http.MethodPost, http.MethodGet), "2017-08-01"); err != nil {
		return asReply(err)
	}
	if approves {
		return e.approve(c.body)
	}
	events := []scheduledEvent{}
	for _, s := range e.scheduled {
		if s.EventStatus == "Scheduled" && !e.Now().Before(s.notBefore) {
			e.startEvent(s)
		}
		events = append(events, s.scheduledEvent)
	}
	return jsonReply(http.StatusOK, obj{"DocumentIncarnation": e.incarnation, "Events": events})
}

func (e *Emulator) approve(body []byte) reply {
	var in struct {
		StartRequests []struct {
			EventID string `json:"EventId"`
		}
	}
	bad := metadataProblem(http.StatusBadRequest, "Bad request. The StartRequests are not valid")
	if json.Unmarshal(body, &in) != nil || len(in.StartRequests) == 0 {
		return bad
	}
	for _, request := range in.StartRequests {
		s := e.scheduledByID(request.EventID)
		if s == nil {
			return bad
		}
		e.record(Event{Type: EventScheduledApproved, Detail: s.EventType})
		if s.EventStatus == "Scheduled" {
			e.startEvent(s)
		}
	}
	return reply{status: http.StatusOK}
}

// checkMetadata checks a request's method, header and version.
func checkMetadata(c *request, method, since string) error {
	switch {
	case c.http.Method != method:
		return metadataProblem(http.StatusMethodNotAllowed, "Method not allowed")
	case !strings.EqualFold(c.http.Header.Get("Metadata"), "true"), c.http.Header.Get("X-Forwarded-For") != "":
		return metadataProblem(http.StatusBadRequest, "Bad request. Required metadata header not specified")
	case c.query("api-version") < since: // dates in text compare as dates
		return metadataProblem(http.StatusBadRequest, "Bad request. api-version is invalid or was not specified in the request. For more information refer to aka.ms/azureimds")
	}
	return nil
}

func metadataProblem(status int, text string) reply {
	return jsonReply(status, map[string]string{"error": text}).setHeader("Server", imds)
}
