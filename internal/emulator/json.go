package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// timestamp is a date as Azure DevOps writes it: UTC, up to seven fractional digits, trailing zeros cut
// (azure-devops-rest.md 0).
type timestamp time.Time

func (s timestamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.9999999Z"))
}

// UnmarshalJSON reads what MarshalJSON writes, and the form without a zone that .NET uses for unset dates: clients that
// change an agent often send back everything that they read (docs/conformance.md).
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

// timestampOf returns nil for the zero time, which JSON then omits.
func timestampOf(t time.Time) *timestamp {
	if t.IsZero() {
		return nil
	}
	s := timestamp(t)
	return &s
}

// duration is a time.Duration that is a text such as "80ms" in JSON. Zero is absent.
type duration time.Duration

func (d duration) IsZero() bool {
	return d == 0
}

func (d duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	parsed, err := parseDuration("the duration", text)
	*d = duration(parsed)
	return err
}

// parseDuration reads a duration that is not negative; an empty text is none.
func parseDuration(name, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("cannot read %s %q: it is no duration such as \"80ms\"", name, s)
	}
	return d, nil
}

// past is how long ago something happened: a duration, or "unknown" for a negative one.
type past time.Duration

func (p past) IsZero() bool {
	return p == 0
}

func (p past) MarshalJSON() ([]byte, error) {
	if p < 0 {
		return json.Marshal(unknownPast)
	}
	return duration(p).MarshalJSON()
}

func (p *past) UnmarshalJSON(b []byte) error {
	if string(b) == `"`+unknownPast+`"` {
		*p = -1
		return nil
	}
	return (*duration)(p).UnmarshalJSON(b)
}

const unknownPast = "unknown"

// strictJSON refuses unknown fields, which a decoder forgets about below an UnmarshalJSON.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
