package keep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/pool"
)

// reasons are why a keeper removes an agent.
func reasons() []pool.Reason { return []pool.Reason{pool.Dead, pool.Asked} }

// act does what follows from a look, and shows what came of it.
func (t *tended) act(ctx context.Context, s pool.Survey) error {
	s, err := t.prune(ctx, s)
	if err != nil {
		return err
	}
	return t.holdPlace(ctx, s)
}

// refusedPause is how long a ghost is left alone that could not be removed, or was
// none when it was looked at again: a server that refuses many is not to be asked
// about all of them at each look.
const refusedPause = 10 * time.Minute

// due are the ghosts that were not refused a while ago.
func (t *tended) due(ghosts []pool.Verdict) []pool.Verdict {
	now := time.Now()
	maps.DeleteFunc(t.refused, func(_ int, until time.Time) bool { return !now.Before(until) })
	return slices.DeleteFunc(ghosts, func(v pool.Verdict) bool {
		_, wait := t.refused[v.Agent.ID]
		return wait
	})
}

// prune removes the survey's ghosts, and returns the survey without them.
func (t *tended) prune(ctx context.Context, s pool.Survey) (pool.Survey, error) {
	ghosts := t.due(s.Ghosts())
	if !t.k.o.Prune || len(ghosts) == 0 {
		return s, nil
	}
	why := map[int]pool.Verdict{}
	for _, ghost := range ghosts {
		why[ghost.Agent.ID] = ghost
	}
	gone := map[int]bool{}
	err := t.pool.Remove(ctx, t.k.o.Rules, ghosts, func(r pool.Result) {
		if gone[r.Agent.ID] = t.removed(why[r.Agent.ID], r); !gone[r.Agent.ID] {
			t.refused[r.Agent.ID] = time.Now().Add(refusedPause)
		}
		t.k.feed.change(func() { t.room.beat = time.Now() })
	})
	s.Verdicts = slices.DeleteFunc(slices.Clone(s.Verdicts), func(v pool.Verdict) bool { return gone[v.Agent.ID] })
	t.show(s, news{})
	return s, err
}

// removed tells what became of a ghost, and says whether it is gone. One that
// another keeper has removed is not our deed.
func (t *tended) removed(ghost pool.Verdict, r pool.Result) bool {
	facts := []any{"agent", r.Agent.Name, "agent_id", r.Agent.ID, "reason", ghost.Reason, "why", ghost.Why}
	what := fmt.Sprintf("agent %q (%d)", r.Agent.Name, r.Agent.ID)
	switch r.Removal {
	case pool.Removed:
		t.k.o.Metrics.removed.Add(1, t.room.name, string(ghost.Reason))
		t.k.o.Log.Info("Removed a ghost", t.facts(facts)...)
		t.note(false, "removed "+what+": "+ghost.Why)
	case pool.Failed:
		t.k.o.Metrics.failed.Add(1, t.room.name)
		t.k.o.Log.Warn("Cannot remove a ghost: it is tried again", t.facts(append(facts, "error", r.Err))...)
		t.note(true, r.Err.Error())
	default:
		t.k.o.Log.Debug("Left a ghost alone", t.facts(append(facts, "outcome", r.Removal, "now", r.Why))...)
	}
	return r.Removal == pool.Removed || r.Removal == pool.Gone
}

// holdPlace makes the placeholder, where the survey does not show the one that
// was made or found before. A name that somebody's agent holds is told as an
// error once, and costs no more requests until that agent is another.
func (t *tended) holdPlace(ctx context.Context, s pool.Survey) error {
	want := t.k.o.Wanted
	if want == nil {
		return nil
	}
	holder := pool.Verdict{}
	for _, v := range s.Verdicts {
		if strings.EqualFold(v.Agent.Name, want.Name) {
			holder = v
		}
	}
	if holder.Agent.ID != 0 && holder.Agent.ID == t.stands {
		if _, is := pool.PlaceholderOf(holder.Agent); !is || pool.Stands(holder.Agent, *want) {
			return nil
		}
	}
	done, err := t.pool.Ensure(ctx, *want)
	var held *pool.HeldError
	if errors.As(err, &held) {
		t.stands = held.Agent.ID
		t.k.o.Log.Warn("Cannot make the placeholder", t.facts([]any{"error", err, "hint", held.Hint()})...)
		t.note(true, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	t.stands = done.Agent.ID
	if done.Outcome == pool.Created || done.Outcome == pool.Updated {
		t.k.o.Log.Info("The pool has its placeholder", t.facts([]any{"outcome", done.Outcome, "agent", done.Agent.Name, "agent_id", done.Agent.ID})...)
		t.note(false, fmt.Sprintf("%s placeholder %q (%d)", done.Outcome, done.Agent.Name, done.Agent.ID))
	}
	if done.Outcome == pool.Created {
		s.Verdicts = append(s.Verdicts, pool.Verdict{Agent: done.Agent, Reason: pool.Holds, Why: "placeholder, made just now"})
		t.show(s, news{})
	}
	return nil
}

func (t *tended) facts(facts []any) []any { return append([]any{"pool", t.room.name}, facts...) }

// note tells the page.
func (t *tended) note(bad bool, what string) {
	t.k.feed.did(Deed{At: time.Now(), Pool: t.room.name, What: what, Bad: bad})
}
