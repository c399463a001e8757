package supervisor

import (
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
)

// preparation is the result of Prepare.
type preparation struct {
	pool     azdo.Pool
	key      *rsa.PrivateKey
	version  string
	previous previousRun
	release  func() // of the directory's lock
	times    times
}

// releaseLock releases the directory's lock if the run has ended meanwhile.
func (p *preparation) releaseLock() {
	if p.release != nil {
		p.release()
	}
}

// prepareNew prepares a registration: token and pool, key, and the agent's directory. The
// three run in parallel, so that all of it takes two round trips.
func (r *runner) prepareNew(ctx context.Context, p preparation) message {
	// The check of the directory is not cancelled if the server fails, and its error is
	// reported first. Otherwise an outage would hide an unusable directory.
	var dirErr error
	findPrevious := r.previousUnchecked
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		begun := time.Now()
		dirErr = r.lockAndCheckDir(ctx, &p)
		p.times.dir = time.Since(begun)
		if findPrevious && p.release != nil { // do not cancel the others: they find the previous run's agent
			return nil
		}
		return dirErr
	})
	group.Go(func() (err error) {
		begun := time.Now()
		p.key, err = agentdir.GenerateKey()
		p.times.key = time.Since(begun)
		return err
	})
	group.Go(func() error { return r.findPool(groupCtx, &p) })
	err := group.Wait()
	checked := false // what a previous run left is known
	if err == nil && (dirErr == nil || findPrevious && p.release != nil) {
		p.previous, err = r.findPreviousRun(ctx, p.pool)
		checked = err == nil
	}
	if checked || !findPrevious || p.release == nil {
		err = cmp.Or(dirErr, err)
	} // otherwise err decides, so that Prepare is repeated: the previous run's agent must be removed
	return message{
		apply: func(r *runner) {
			r.release = p.release
			if !checked {
				return
			}
			r.previousUnchecked = false
			r.evidence, r.hasRecord = p.previous.evidence, p.previous.evidence.hasRecord
			r.pool, r.key, r.version = p.pool, p.key, p.version
			p.times.started = r.times.started
			r.times = p.times
			r.log.Info("Found the pool", "pool", p.pool.Name, "pool_id", p.pool.ID, "agent_version", p.version)
			r.adoptPrevious(p.previous)
		},
		event:  lifecycle.PrepareResult{Result: resultOf(err), Leftover: p.previous.leftover(), Checked: checked},
		onDrop: p.releaseLock,
	}
}

// prepareHandoff prepares the directory of an agent that another azptend registered. It
// sends no requests. If a listener of a previous run still runs in the directory, it serves
// the same agent, and finishes its job first.
func (r *runner) prepareHandoff(ctx context.Context, p preparation) message {
	err := r.lockAndCheckDir(ctx, &p)
	given := r.o.Handoff.Registration
	pool := azdo.Pool{ID: given.PoolID, Name: given.PoolName}
	previous := previousRun{pool: pool, agent: azdo.Agent{ID: given.AgentID, Name: given.AgentName}}
	if err == nil {
		err = r.findHandoffListener(ctx, &previous)
	}
	return message{
		apply: func(r *runner) {
			r.release = p.release
			if err != nil {
				return
			}
			r.previousUnchecked, r.version = false, p.version
			r.pool, r.agentRef = pool, registrationRef{pool, given.AgentName}
			r.log.Info("Found an agent that was registered for this azptend", "agent", given.AgentName, "agent_id", given.AgentID,
				"pool", given.PoolName, "directory", r.o.Handoff.Dir.Root, "agent_version", p.version)
			if previous.listener != nil {
				r.adoptPrevious(previous)
			}
		},
		event: lifecycle.PrepareResult{Result: resultOf(err), ExternalAgentID: given.AgentID,
			Leftover: lifecycle.Leftover{ListenerRuns: previous.listener != nil, WorkerRuns: previous.working}},
		onDrop: p.releaseLock,
	}
}

// findHandoffListener adopts the listener of a previous run. If there is none, it checks
// the directory for foreign files, unless the handed-over files are in it.
func (r *runner) findHandoffListener(ctx context.Context, previous *previousRun) error {
	pids, err := r.findListeners()
	if err == nil && len(pids) == 0 && r.o.Handoff.Dir.Root != r.o.Dir.Root {
		err = r.clearForeignFiles()
	}
	if err != nil {
		return err
	}
	r.adoptListener(ctx, pids, previous)
	return nil
}

// unknownVersion is registered with RegisterOnly, where there is no listener to ask for
// its version. It is only informational until the listener reports its own version with
// its session (agent-protocol.md 2.2).
const unknownVersion = "4.0.0"

// lockAndCheckDir locks the agent's directory, unless an earlier try did, and checks it.
func (r *runner) lockAndCheckDir(ctx context.Context, p *preparation) (err error) {
	if r.o.Policy.RegisterOnly {
		p.version = unknownVersion
		return r.o.Dir.MakeWritable()
	}
	if p.release == nil {
		err = r.o.Dir.AsUser(func() (err error) { p.release, err = r.o.Dir.Lock(); return err })
		if err != nil {
			return err
		}
	}
	r.waitForPreviousUpdate(ctx)
	if err = r.o.Dir.PrepareWork(r.o.WorkFolder, true); err != nil {
		return err
	}
	if err = r.o.Dir.AsUser(func() error { return r.o.Dir.Check(r.o.WorkFolder) }); err == nil {
		p.version, err = mslistener.Version(ctx, r.o.listenerOptions())
	}
	return err
}

// requestTimeout is the timeout of one request. Prepare as a whole may take longer.
const requestTimeout = 45 * time.Second

var errNoAnswer = fmt.Errorf("none came within %v", requestTimeout)

// findPool gets a token, and finds the pool.
func (r *runner) findPool(ctx context.Context, p *preparation) error {
	begun := time.Now()
	if err := r.o.Server.Authorize(ctx); err != nil {
		return err
	}
	p.times.token = time.Since(begun)
	begun = time.Now()
	ctx, done := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer done()
	var err error
	p.pool, err = r.o.Server.FindPool(ctx, r.o.Pool)
	p.times.pool = time.Since(begun)
	if err != nil {
		return err
	}
	return checkSelfHosted(p.pool)
}

// checkSelfHosted refuses pools whose agents only Azure DevOps adds.
func checkSelfHosted(p azdo.Pool) error {
	why := p.ClosedReason()
	if why == "" {
		return nil
	}
	return &permanentError{fmt.Errorf("cannot add an agent to pool %q: %s", p.Name, why),
		"create a self-hosted pool (Organization settings, Agent pools, Add pool), and set AZP_POOL (--pool) to its name"}
}

// permanentError is an error that a retry does not fix.
type permanentError struct {
	error
	hint string
}

// Hint is what to do about it.
func (e *permanentError) Hint() string { return e.hint }
