package pool

import (
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

type Reason string

const (
	Dead  Reason = "dead"
	Asked Reason = "asked"
)

type Verdict struct {
	Agent  azdo.Agent
	Reason Reason
	Why    string
}

func (v Verdict) Ghost() bool { return v.Reason == Dead || v.Reason == Asked }

func Span(d time.Duration) string { return d.Round(time.Second).String() }
