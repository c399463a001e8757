package supervisor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/retry"
)

// PresenceChecker looks once an hour whether the agents of this process are still in their
// pools, with one request for all that are in a pool. azptend gets no message when
// a person deletes an agent, and the listener may not notice.
type PresenceChecker struct {
	server AgentLister
	log    *slog.Logger

	mu      sync.Mutex
	members map[*member]bool
}

// AgentLister is what a Roster asks of Azure DevOps. *azdo.Client is one.
type AgentLister interface {
	AgentWithRequest(ctx context.Context, pool, id int) (azdo.Agent, error)
	EachAgent(ctx context.Context, pool int, with azdo.Include, each func(azdo.Agent)) error
}

type member struct {
	pool, agent int
	missing     func()
}

// NewPresenceChecker makes a roster, which is called by Run.
func NewPresenceChecker(server AgentLister, log *slog.Logger) *PresenceChecker {
	return &PresenceChecker{server: server, log: log, members: map[*member]bool{}}
}

// add adds an agent until the returned function is called. Missing is called when
// a look does not show it.
func (r *PresenceChecker) add(pool, agent int, missing func()) (leave func()) {
	m := &member{pool, agent, missing}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.members, m)
	}
}

// The pause between two looks is random within these bounds: agents that were
// started together do not ask together. test/scale simulates it.
const (
	MinPresenceInterval = 45 * time.Minute
	MaxPresenceInterval = 75 * time.Minute
)

// presenceTimeout bounds one look.
const presenceTimeout = time.Minute

// Run looks until ctx ends.
func (r *PresenceChecker) Run(ctx context.Context) {
	for {
		if retry.Sleep(ctx, retry.Between(MinPresenceInterval, MaxPresenceInterval)) != nil {
			return
		}
		r.check(ctx)
	}
}

func (r *PresenceChecker) check(ctx context.Context) {
	r.mu.Lock()
	pools := map[int][]*member{}
	for m := range r.members {
		pools[m.pool] = append(pools[m.pool], m)
	}
	r.mu.Unlock()
	for pool, members := range pools { // one, where nobody has taken over an agent of another
		missing, err := r.missing(ctx, pool, members)
		if err != nil {
			r.log.Debug("Cannot look whether the agents are still in their pool", "pool_id", pool, "error", err)
			continue
		}
		for _, m := range missing {
			m.missing()
		}
	}
}

// missing asks for a single agent by its id: a pool may have thousands of others.
func (r *PresenceChecker) missing(ctx context.Context, pool int, members []*member) ([]*member, error) {
	ctx, done := context.WithTimeout(ctx, presenceTimeout)
	defer done()
	if len(members) == 1 {
		_, err := r.server.AgentWithRequest(ctx, pool, members[0].agent)
		if azdo.ClassOf(err) == azdo.NotFound {
			return members, nil
		}
		return nil, err
	}
	there := map[int]bool{}
	if err := r.server.EachAgent(ctx, pool, azdo.Include{}, func(a azdo.Agent) { there[a.ID] = true }); err != nil {
		return nil, err
	}
	var missing []*member
	for _, m := range members {
		if !there[m.agent] {
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// checkPresence puts an agent on the roster for as long as its listener lives.
func (r *runner) checkPresence(alive context.Context, l *startedListener, pool, id int) {
	if r.o.Presence == nil || id == 0 {
		return
	}
	leave := r.o.Presence.add(pool, id, func() { r.post(message{from: l.process, event: lifecycle.AgentMaybeDeleted{}}) })
	context.AfterFunc(alive, leave)
}
