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

// removalReasons are the reasons for which a keeper removes an agent.
var removalReasons = []pool.Reason{pool.Dead, pool.RemovalRequested}

// act prunes and ensures the placeholders, and shows the result.
func (t *poolLoop) act(ctx context.Context, s pool.Survey) error {
	s, err := t.prune(ctx, s)
	if err != nil {
		return err
	}
	return t.ensurePlaceholders(ctx, s)
}

// skipDuration is how long a ghost is skipped after its removal failed, or after the
// second look found it alive. A server that refuses many removals is not asked about
// all of them at each look.
const skipDuration = 10 * time.Minute

// withoutSkipped are the ghosts that are not skipped for now.
func (t *poolLoop) withoutSkipped(ghosts []pool.Verdict) []pool.Verdict {
	now := time.Now()
	maps.DeleteFunc(t.skipUntil, func(_ int, until time.Time) bool { return !now.Before(until) })
	return slices.DeleteFunc(ghosts, func(v pool.Verdict) bool {
		_, wait := t.skipUntil[v.Agent.ID]
		return wait
	})
}

// prune removes the survey's ghosts, and returns the survey without them.
func (t *poolLoop) prune(ctx context.Context, s pool.Survey) (pool.Survey, error) {
	ghosts := t.withoutSkipped(s.Ghosts())
	if !t.k.o.Prune || len(ghosts) == 0 {
		return s, nil
	}
	why := map[int]pool.Verdict{}
	for _, ghost := range ghosts {
		why[ghost.Agent.ID] = ghost
	}
	gone := map[int]bool{}
	err := t.pool.Remove(ctx, t.k.o.Rules, ghosts, func(r pool.RemoveResult) {
		if gone[r.Agent.ID] = t.reportRemoval(why[r.Agent.ID], r); !gone[r.Agent.ID] {
			t.skipUntil[r.Agent.ID] = time.Now().Add(skipDuration)
		}
		t.k.board.update(func() { t.state.lastActive = time.Now() })
	})
	s.Verdicts = slices.DeleteFunc(slices.Clone(s.Verdicts), func(v pool.Verdict) bool { return gone[v.Agent.ID] })
	t.show(s, jobChanges{})
	return s, err
}

// reportRemoval logs the result for a ghost, and says whether it is gone. It does not count
// what another keeper removed.
func (t *poolLoop) reportRemoval(ghost pool.Verdict, r pool.RemoveResult) bool {
	log := t.log.With("agent", r.Agent.Name, "agent_id", r.Agent.ID, "reason", ghost.Reason, "why", ghost.Why)
	what := fmt.Sprintf("agent %q (%d)", r.Agent.Name, r.Agent.ID)
	switch r.Removal {
	case pool.Removed:
		t.k.o.Metrics.removed.Add(1, t.state.name, string(ghost.Reason))
		log.Info("Removed a ghost")
		t.record(false, "removed "+what+": "+ghost.Why)
	case pool.Failed:
		t.k.o.Metrics.failed.Add(1, t.state.name)
		log.Warn("Cannot remove a ghost, retrying later", "error", r.Err)
		t.record(true, r.Err.Error())
	default:
		log.Debug("Skipped a ghost", "outcome", r.Removal, "now", r.Why)
	}
	return r.Removal == pool.Removed || r.Removal == pool.Gone
}

// ensurePlaceholders ensures the pool's placeholder, or one for each group.
func (t *poolLoop) ensurePlaceholders(ctx context.Context, s pool.Survey) error {
	want := t.k.o.Placeholder
	if want == nil {
		return nil
	}
	if len(t.scaler.groups) == 0 {
		_, err := t.ensurePlaceholder(ctx, s, *want)
		return err
	}
	for _, g := range t.scaler.groups {
		var err error
		if s, err = t.ensurePlaceholder(ctx, s, g.Placeholder(want.Name)); err != nil {
			return err
		}
	}
	return nil
}

// ensurePlaceholder makes a placeholder, unless the survey shows the one that was made or
// found before, and returns the survey with it. If another agent holds the name, it reports
// that once, and makes no more requests until that agent changes.
func (t *poolLoop) ensurePlaceholder(ctx context.Context, s pool.Survey, want pool.PlaceholderSpec) (pool.Survey, error) {
	holder := pool.Verdict{}
	for _, v := range s.Verdicts {
		if strings.EqualFold(v.Agent.Name, want.Name) {
			holder = v
		}
	}
	if holder.Agent.ID != 0 && holder.Agent.ID == t.placeholders[want.Name] {
		if _, is := pool.PlaceholderMaker(holder.Agent); !is || pool.PlaceholderMatches(holder.Agent, want) {
			return s, nil
		}
	}
	done, err := t.pool.EnsurePlaceholder(ctx, want)
	var held *pool.NameTakenError
	if errors.As(err, &held) {
		t.placeholders[want.Name] = held.Agent.ID
		t.log.Warn("Cannot create the placeholder", "error", err, "hint", held.Hint())
		t.record(true, err.Error())
		return s, nil
	}
	if err != nil {
		return s, err
	}
	t.placeholders[want.Name] = done.Agent.ID
	if done.Outcome == pool.Created || done.Outcome == pool.Updated {
		t.log.Info("Placeholder ensured", "outcome", done.Outcome, "agent", done.Agent.Name, "agent_id", done.Agent.ID)
		t.record(false, fmt.Sprintf("%s placeholder %q (%d)", done.Outcome, done.Agent.Name, done.Agent.ID))
	}
	if done.Outcome == pool.Created {
		s.Verdicts = append(s.Verdicts, pool.Verdict{Agent: done.Agent, Reason: pool.IsPlaceholder, Why: "placeholder, just created"})
		t.show(s, jobChanges{})
	}
	return s, nil
}

// record adds an entry to the page's log.
func (t *poolLoop) record(bad bool, what string) {
	t.k.board.record(LogEntry{At: time.Now(), Pool: t.state.name, Message: what, Failed: bad})
}
