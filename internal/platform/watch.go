package platform

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// The times of watching.
const (
	// lookEvery is what Azure advises, for the shortest notice is 30 s; a machine
	// may ask five times a second (Azure's pages on Scheduled Events and the Instance Metadata Service).
	lookEvery = time.Second
	// longestLook is how often a metadata service is asked that does not answer:
	// it may be closed, or this machine not Azure's.
	longestLook = time.Minute
	// firstAnswer is for the first request of all, which turns Scheduled Events on
	// and may take two minutes; answerBy is for each later one.
	firstAnswer = 150 * time.Second
	answerBy    = 10 * time.Second
	// quickAnswer is for the question whether to start at all, which must not cost
	// a machine that is not Azure's much: where an event is pending, Scheduled
	// Events are on, and answer within milliseconds.
	quickAnswer = time.Second
	// deafFor is how many questions in a row may go without an answer while one
	// waits for an event to pass.
	deafFor = 30
)

// Watcher watches for what Azure announces for this machine.
type Watcher struct {
	Metadata *Metadata
	// Lead is how long before its time an event is due at the latest: one that is
	// announced days before, as for failing hardware, waits until then.
	Lead time.Duration
	// Announced is told of each event once, Due when its time has come, and again
	// if that is earlier than was said. An event that had started before it was
	// first seen is told to nobody: it is over for this machine, which has booted.
	Announced func(Notice)
	Due       func(Notice)
	Silent    func(error) // the service has stopped answering, or never did; nil: it answers again

	machine string
	known   map[string]Notice // by id, as they were last told to be due, or are not due yet
	told    map[string]bool   // due, as known
	fails   int
	asked   bool
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	w.known, w.told = map[string]Notice{}, map[string]bool{}
	for {
		again := lookEvery
		if err := w.look(ctx); err == nil {
			if w.fails > 0 {
				w.Silent(nil)
			}
			w.fails = 0
		} else if ctx.Err() == nil {
			if w.fails == 0 {
				w.Silent(err)
			}
			again = retry.Pause(w.fails, lookEvery, longestLook)
			w.fails++
		}
		if retry.Sleep(ctx, again) != nil {
			return
		}
	}
}

func (w *Watcher) look(ctx context.Context) error {
	patience := answerBy
	if !w.asked {
		patience = firstAnswer
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.machine == "" {
		name, err := w.Metadata.Machine(ctx)
		if err != nil {
			return err
		}
		w.machine = name
	}
	notices, err := w.Metadata.Notices(ctx, w.machine)
	if err != nil {
		return err
	}
	w.asked = true
	for _, n := range notices {
		w.take(n, time.Now())
	}
	return nil
}

func (w *Watcher) take(n Notice, now time.Time) {
	before, known := w.known[n.ID]
	switch {
	case !known && n.Started:
		return
	case !known:
		w.Announced(n)
	case w.told[n.ID] && !n.sooner(before):
		return
	}
	w.known[n.ID] = n
	if n.due(w.Lead, now) {
		w.told[n.ID] = true
		w.Due(n)
	}
}

// sooner says that an event ends the machine earlier than was said before.
func (n Notice) sooner(before Notice) bool {
	if n.Started {
		return !before.Started
	}
	return !n.NotBefore.IsZero() && n.NotBefore.Before(before.NotBefore)
}

// AwaitQuiet waits, before anything is started, while an event is due within lead
// that will end this machine: whoever was drained for it and is started again by
// a service manager would only be drained again, with another job perhaps. It
// returns when the event is over or called off, at once where there is none or
// nobody to ask, and when ctx ends. Waiting is told once of each event.
func (m *Metadata) AwaitQuiet(ctx context.Context, lead time.Duration, waiting func(Notice)) {
	waits := map[string]bool{}
	machine := ""
	for deaf := 0; deaf < deafFor; {
		look, cancel := context.WithTimeout(ctx, quickAnswer)
		var notices []Notice
		var err error
		if machine == "" {
			machine, err = m.Machine(look)
		}
		if err == nil {
			notices, err = m.Notices(look, machine)
		}
		cancel()
		quiet := true
		for _, n := range notices {
			if !n.due(lead, time.Now()) || (n.Started && !waits[n.ID]) { // that one is over: we have booted
				continue
			}
			if quiet = false; !waits[n.ID] {
				waits[n.ID] = true
				waiting(n)
			}
		}
		switch {
		case err == nil && quiet, err != nil && len(waits) == 0:
			return
		case err != nil:
			deaf++
		default:
			deaf = 0
		}
		if retry.Sleep(ctx, lookEvery) != nil {
			return
		}
	}
}

// due says that an event's time has come, or will within lead.
func (n Notice) due(lead time.Duration, now time.Time) bool {
	return n.Started || n.NotBefore.IsZero() || !now.Before(n.NotBefore.Add(-lead))
}
