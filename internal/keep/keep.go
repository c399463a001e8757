// Package keep is the pool's keeper. For each pool a loop looks at agents and job
// requests, removes ghosts, ensures the placeholder, and shows the result as metrics
// and as a page.
//
// A look is two requests, whatever the pool's size. The pause after it is at least ten
// times as long as the look took, so that the server works little for a pool whose list
// is slow (azure-devops-rest.md 3: limits count the server's work, not requests).
// Package pool decides what is removed and why.
//
// The keeper's decisions need no memory: they follow from what it sees. So it may be
// killed at any moment, several keepers may share a pool, and an outage only delays it.
// What it remembers, for counts and for the page, is limited.
package keep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/secret"
)

// Options say which pools to keep, and how.
type Options struct {
	URL      string // the organisation's address, for links; "" for none
	Server   pool.Server
	Pools    []azdo.PoolRef // with names, for people and metrics
	Interval time.Duration  // at least, between two looks at a pool
	Rules    pool.Rules     // which agents are ghosts
	// Placeholder is the placeholder that each pool should have; nil: none. A pool with groups
	// has one for each group instead, and this name begins their names.
	Placeholder *pool.PlaceholderSpec
	Groups      []pool.Group // of all pools
	ScaleToken  secret.Text  // opens only the scale endpoint
	Prune       bool         // remove ghosts, and do not only show them
	Metrics     *Metrics
	Log         *slog.Logger
	Hint        func(error) string // what to do about a failure, "" if nobody knows; nil: never known
}

// Keeper keeps pools. Make it with New, run it once with Run.
type Keeper struct {
	o       Options
	board   *board
	scalers []*scaler              // one for each pool
	targets map[string]scaleTarget // by the group's name in lower case
}

// New makes a keeper that does nothing yet. Handler can show it.
func New(o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	var names []string
	for _, p := range o.Pools {
		names = append(names, p.Name)
		o.Metrics.initPool(p.Name)
	}
	k := &Keeper{o: o, board: newBoard(o.URL, names, time.Now()), targets: map[string]scaleTarget{}}
	for _, p := range o.Pools {
		s := &scaler{server: o.Server, pool: p, groups: pool.GroupsOf(o.Groups, p.Name), metrics: o.Metrics}
		for i, g := range s.groups {
			k.targets[strings.ToLower(g.Name)] = scaleTarget{s, i}
			o.Metrics.scaleRequests.Add(0, g.Name, "200")
		}
		k.scalers = append(k.scalers, s)
	}
	return k
}

// RunAndServe is Run, and serves the page and the health listener meanwhile; nil is none. If
// one of them fails, the keeper ends.
func (k *Keeper) RunAndServe(ctx context.Context, page, health net.Listener, token secret.Text) error {
	all, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if page != nil {
		all.Go(func() error { return k.Serve(ctx, page, token) })
	}
	if health != nil {
		all.Go(func() error { return k.ServeHealth(ctx, health) })
	}
	all.Go(func() error {
		defer stop()
		return k.Run(ctx)
	})
	return all.Wait()
}

// Run keeps the pools until ctx ends, which is no error, or until one of them cannot be
// found or listed at the start, for a permanent reason: a setting is wrong, or a right is
// missing.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for _, s := range k.scalers {
		s.start(ctx)
	}
	var loops sync.WaitGroup
	for i := range k.o.Pools {
		loops.Go(func() {
			if err := k.loop(ctx, i); err != nil {
				stop(err)
			}
		})
	}
	loops.Wait()
	stop(nil)
	for _, s := range k.scalers {
		s.wait()
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// loop keeps one pool.
func (k *Keeper) loop(ctx context.Context, i int) error {
	t := &poolLoop{k: k, state: k.board.pools[i], scaler: k.scalers[i], log: k.o.Log.With("pool", k.o.Pools[i].Name), ref: k.o.Pools[i], skipUntil: map[int]time.Time{}, placeholders: map[string]int{}}
	for {
		begun := time.Now()
		err := t.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if (!t.listedOnce && isPermanent(err)) || errors.As(err, new(*pool.InvalidVersionError)) {
			return err
		}
		t.report(err)
		pause := t.pauseAfter(err)
		k.board.update(func() { t.state.lastActive, t.state.pause = time.Now(), pause })
		t.log.Debug("Refreshed a pool", "ms", time.Since(begun).Milliseconds(), "pause", pause.String())
		if retry.Sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// poolLoop is one pool in its loop.
type poolLoop struct {
	k        *Keeper
	state    *poolState
	scaler   *scaler
	log      *slog.Logger
	ref      azdo.PoolRef
	failures int // in a row

	pool         *pool.Pool     // nil until it was found
	listedOnce   bool           // refusals after this are retried
	placeholders map[string]int // the agent with a placeholder's name, once it is ensured or cannot be
	agentCount   int            // agents of the last look
	jobs         jobTracker
	lookDuration time.Duration     // of the last look, with the work to show it
	skipUntil    map[int]time.Time // ghosts that could not be removed, by id
}

// retryFor is how long to retry a call for a kept pool. After that, the next round tries.
const retryFor = 5 * time.Second

// round looks at the pool once, and does what follows from it.
func (t *poolLoop) round(ctx context.Context) (err error) {
	t.lookDuration = 0
	if t.pool == nil {
		if t.pool, err = pool.Open(ctx, pool.Options{Server: t.k.o.Server, Pool: t.ref, RetryFor: retryFor}); err != nil {
			t.pool = nil
			return err
		}
	}
	begun := time.Now()
	s, err := t.pool.SurveyWithHistory(ctx, t.k.o.Rules, historyFor(t.agentCount))
	if err != nil {
		return err
	}
	t.listedOnce, t.agentCount = true, len(s.Verdicts)
	p := t.show(s, t.jobs.update(slices.Concat(s.Queue, s.Finished)))
	if len(t.scaler.groups) > 0 {
		t.scaler.record(begun, p.assigned)
	}
	t.lookDuration = time.Since(begun)
	return t.act(ctx, s)
}

// historyFor is how many finished jobs of each agent a look asks for: as many as an agent may
// run between two looks; for a large pool so few that the answer stays smaller than the list of
// agents; for a pool that was not seen yet, one.
func historyFor(agents int) int {
	const most, together = 20, 2000
	if agents == 0 {
		return 1
	}
	return max(1, min(most, together/agents))
}

// show updates metrics and the page.
func (t *poolLoop) show(s pool.Survey, found jobChanges) Snapshot {
	p := newSnapshot(s, t.pool.ID, t.k.o.Prune, t.scaler.groups)
	t.k.o.Metrics.setPool(t.state.name, p)
	t.k.o.Metrics.addJobs(t.state.name, found)
	t.k.board.update(func() {
		t.state.snapshot, t.state.lastActive = p, time.Now()
		t.state.serverAhead = time.Until(p.At)
		t.state.history.add(p, found)
	})
	return p
}

// report says once when a pool cannot be refreshed, and once when it can be again.
func (t *poolLoop) report(err error) {
	was := t.state.lastErr
	outcome := "seen"
	if err != nil {
		outcome = "failed"
	}
	t.k.o.Metrics.rounds.Add(1, t.state.name, outcome)
	now := time.Now()
	switch {
	case err != nil && was == nil:
		what := []any{"error", err}
		if hint := t.k.o.Hint(err); hint != "" {
			what = append(what, "hint", hint)
		}
		t.log.Warn("Cannot refresh the pool, retrying", what...)
		t.record(true, err.Error())
		t.k.board.update(func() { t.state.lastErr, t.state.failingSince = err, now })
	case err != nil:
		t.k.board.update(func() { t.state.lastErr = err })
	case was != nil:
		away := now.Sub(t.state.failingSince).Round(time.Second)
		t.log.Info("Pool refresh recovered", "after", away.String())
		t.record(false, "refresh recovered after "+away.String())
		t.k.board.update(func() { t.state.lastErr, t.state.failingSince = nil, time.Time{} })
	}
}

const (
	// lookShare limits how long the server works for a keeper to one part in eleven. A
	// list that takes 6 s is asked for once a minute.
	lookShare = 10
	// maxPause limits what failures add: so soon after an outage the pool is looked at.
	maxPause = 2 * time.Minute
)

// pauseAfter is the pause after a round. It varies by a tenth, so that several keepers
// do not look at the same moment.
func (t *poolLoop) pauseAfter(err error) time.Duration {
	pause := max(t.k.o.Interval, lookShare*t.lookDuration)
	if err != nil {
		pause = max(t.k.o.Interval, retry.Pause(t.failures, t.k.o.Interval, maxPause))
		t.failures++
	} else {
		t.failures = 0
	}
	return max(retry.Between(pause-pause/10, pause+pause/10), azdo.RetryAfter(err))
}

// isPermanent says that an error does not pass by itself: a setting is wrong, a right
// is missing, or the issuer refuses the identity.
func isPermanent(err error) bool {
	switch azdo.ClassOf(err) {
	case azdo.Denied, azdo.NotFound, azdo.NoToken:
		return true
	}
	return errors.As(err, new(*pool.ClosedError))
}
