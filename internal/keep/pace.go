package keep

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

const (
	// lookShare is which part of the time, at most, the server works for a keeper: one in
	// eleven. A list that takes 6 s to make is asked for once a minute.
	lookShare = 10
	// maxPause bounds what slow answers and failures add: so long after an outage
	// the pool is kept again.
	maxPause = 2 * time.Minute
)

// interval says how long to wait between two looks.
type interval struct {
	base     time.Duration
	failures int // in a row
}

// next is the pause after a look that took so long, or failed.
func (p *interval) next(took time.Duration, err error) time.Duration {
	if err == nil {
		p.failures = 0
		return jittered(max(p.base, lookShare*took))
	}
	pause := p.base
	for range min(p.failures, 10) { // and no further, or it would overflow
		pause *= 2
	}
	p.failures++
	return max(jittered(max(min(pause, maxPause), p.base)), retryAfter(err))
}

// jittered is within a tenth of d: two keepers of one pool, or many that began
// together, are not to ask in step.
func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// retryAfter is how long the server itself wants to be left alone.
func retryAfter(err error) time.Duration {
	var answer *azdo.Error
	if errors.As(err, &answer) {
		return answer.RetryAfter
	}
	return 0
}
