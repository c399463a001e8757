package emulator

import (
	"encoding/json"
	"time"
)

// stamp is a date as Azure DevOps writes it: UTC, up to seven fractional digits, trailing zeros cut
// (azure-devops-rest.md 0).
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.9999999Z"))
}

// stampOf is nil, and so absent from JSON, for a time that has not come.
func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
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
