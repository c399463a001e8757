package platform

import (
	"slices"
	"strings"
	"testing"
)

// FuzzNotices: for any answer of the metadata service, an event has a kind that ends the machine
// and an id, concerns this machine, and is returned once.
func FuzzNotices(f *testing.F) {
	f.Add(`{"DocumentIncarnation":2,"Events":[{"EventId":"C7061BAC-AFDC-4513-B24B-AA5F13A16123","EventStatus":"Scheduled","EventType":"Preempt","ResourceType":"VirtualMachine","Resources":["WestNO_0","WestNO_1"],"NotBefore":"Mon, 11 Apr 2026 22:26:58 GMT","Description":"","EventSource":"Platform","DurationInSeconds":5}]}`, "westno_0")
	f.Add(`{"DocumentIncarnation":1,"Events":[]}`, "vm")
	f.Add(`{"Events":[{"EventId":"a","EventType":"Reboot","EventStatus":"Started","Resources":["vm"],"NotBefore":""}]}`, "vm")
	f.Add(`{"Events":[{"EventId":"a","EventType":"Freeze","Resources":["vm"]},{"EventType":"Reboot","Resources":[""]}]}`, "")
	f.Add(`{"Events":null}`, "vm")
	f.Add(`[]`, "vm")
	f.Fuzz(func(t *testing.T, body, machine string) {
		notices, err := parseEvents([]byte(body), machine)
		if err != nil && len(notices) > 0 {
			t.Errorf("an error, and notices: %+v, %v", notices, err)
		}
		for _, n := range notices {
			if n.ID == "" || !n.Kind.endsMachine() || n.NotBefore.Location().String() == "Local" {
				t.Errorf("%+v", n)
			}
			if slices.ContainsFunc(n.OtherMachines, func(name string) bool { return strings.EqualFold(name, machine) }) {
				t.Errorf("another machine is this one: %+v", n)
			}
		}
	})
}

// FuzzMachine: the result is a name or an error.
func FuzzMachine(f *testing.F) {
	f.Add(`{"name":"agents_0","vmScaleSetName":"agents"}`)
	f.Add(`{"name":""}`)
	f.Add(`{"name":7}`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, body string) {
		if name, err := parseMachineName([]byte(body)); (name == "") != (err != nil) {
			t.Errorf("%q, %v", name, err)
		}
	})
}
