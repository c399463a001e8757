package emulator

import (
	"encoding/json"
	"time"
)

// timestamp is a date as Azure DevOps writes it: UTC, up to seven fractional digits, trailing zeros cut
// (azure-devops-rest.md 0).
type timestamp time.Time

func (s timestamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.9999999Z"))
}

// UnmarshalJSON reads what MarshalJSON writes, and the form without a zone that .NET gives its unset dates: who changes an
// agent often sends back all that was read of it (docs/conformance.md).
func (s *timestamp) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.9999999", text)
	}
	*s = timestamp(t)
	return err
}

// enumValue is an enumeration's value. In bodies it may come as its number too: node-api knows no other form
// (docs/conformance.md).
type enumValue string

func (w *enumValue) UnmarshalJSON(b []byte) error {
	var number json.Number
	if err := json.Unmarshal(b, (*string)(w)); err == nil {
		return nil
	}
	err := json.Unmarshal(b, &number)
	*w = enumValue(number)
	return err
}

// timestampOf is nil, and so absent from JSON, for a time that has not come.
func timestampOf(t time.Time) *timestamp {
	if t.IsZero() {
		return nil
	}
	s := timestamp(t)
	return &s
}

// list is the envelope of every collection: {"count":N,"value":[...]}.
type list[T any] struct {
	Count int `json:"count"`
	Value []T `json:"value"`
}

func listOf[T any](v []T) list[T] {
	if v == nil {
		v = []T{} // an empty collection is [] on the wire, not null
	}
	return list[T]{len(v), v}
}
