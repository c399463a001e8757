package supervisor

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// preparation is what Prepare brings home.
type preparation struct {
	pool     azdo.Pool
	key      *rsa.PrivateKey
	version  string
	previous previousRun
	release  func() // of the folder
	times    times
}

// prepare gets ready what needs nothing from the rest: token and then pool, key,
// and the agent's folder, side by side, so that together they cost two round
// trips.
func (r *runner) prepare() func(context.Context) message {
	p := preparation{release: r.release} // held since an earlier try, or nil
	if r.o.Handoff != nil {
		return func(ctx context.Context) message { return r.prepareHandoff(ctx, p) }
	}
	return func(ctx context.Context) message { return r.prepareNew(ctx, p) }
}

func (r *runner) prepareNew(ctx context.Context, p preparation) message {
	network, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	together := func(spent *time.Duration, f func() error) *error {
		failed := new(error)
		all.Go(func() {
			begun := time.Now()
			*failed = f()
			*spent = time.Since(begun)
			if *failed != nil {
				cancel(*failed)
			}
		})
		return failed
	}
	// The folder is looked at to the end whatever else fails, and its fault is said
	// first: a listener that hangs would else be an outage for as long as there is one.
	folder := together(&p.times.dir, func() error { return r.lockAndCheckDir(ctx, &p) })
	key := together(&p.times.key, func() (err error) { p.key, err = agentdir.GenerateKey(); return err })
	var spent time.Duration
	pool := together(&spent, func() error { return r.tokenAndPool(network, &p) })
	all.Wait()
	failed := cmp.Or(*folder, *key, *pool)
	if failed == nil {
		p.previous, failed = r.findPreviousRun(ctx, p.pool)
	}
	return message{
		apply: func(r *runner) {
			r.release = p.release
			if failed != nil {
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
		event:  lifecycle.PrepareResult{Result: resultOf(failed), Leftover: p.previous.event()},
		onDrop: p.releaseLock,
	}
}

// releaseLock is for a life that has ended meanwhile.
func (p *preparation) releaseLock() {
	if p.release != nil {
		p.release()
	}
}

// lockAndCheckDir locks the agent's folder, unless an earlier try has, and looks at
// it.
func (r *runner) lockAndCheckDir(ctx context.Context, p *preparation) (err error) {
	if r.o.RegisterOnly {
		p.version = unknownVersion
		return r.o.Dir.MakeWritable()
	}
	if p.release == nil {
		err = r.o.asUser(func() (err error) { p.release, err = r.o.Dir.Lock(); return err })
		if err != nil {
			return err
		}
	}
	r.waitForPreviousUpdate(ctx)
	p.version, err = r.checkDir(ctx)
	return err
}

func (r *runner) tokenAndPool(ctx context.Context, p *preparation) error {
	begun := time.Now()
	if err := r.o.Token(ctx); err != nil {
		return &azdo.TokenError{Op: "log on to Azure DevOps", Cause: err}
	}
	p.times.token = time.Since(begun)
	begun = time.Now()
	pool, err := r.findPool(ctx)
	if err != nil {
		return err
	}
	p.pool, p.times.pool = pool, time.Since(begun)
	return checkSelfHosted(pool)
}

// requestTimeout is for one request of the preparation, which as a whole may
// take longer.
const requestTimeout = 45 * time.Second

var errNoAnswer = fmt.Errorf("none came within %v", requestTimeout)

func (r *runner) findPool(ctx context.Context) (azdo.Pool, error) {
	ctx, done := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer done()
	if r.o.PoolID != 0 {
		return r.o.Server.PoolByID(ctx, r.o.PoolID)
	}
	return r.o.Server.PoolByName(ctx, r.o.PoolName)
}

// checkSelfHosted refuses pools whose agents are not ours to add.
func checkSelfHosted(p azdo.Pool) error {
	why := p.ClosedReason()
	if why == "" {
		return nil
	}
	return &permanentError{
		fmt.Sprintf("cannot add an agent to pool %q: %s", p.Name, why),
		"make a self-hosted pool (Organization settings, Agent pools, Add pool), and name it in AZP_POOL (--pool)",
	}
}

// permanentError is a no that asking again will not change.
type permanentError struct{ why, hint string }

func (e *permanentError) Error() string { return e.why }

// Hint is what to do about it, for a person.
func (e *permanentError) Hint() string { return e.hint }

// versionTimeout is for a first start of the listener's runtime from a cold
// disk.
const versionTimeout = 30 * time.Second

var errNoVersion = errors.New("the listener does not tell its version")

// checkDir also asks the listener for its version, and so tries its runtime
// before the server knows of us.
func (r *runner) checkDir(ctx context.Context) (string, error) {
	f := r.o.Dir
	if err := r.o.asUser(func() error { return f.Check(r.o.WorkFolder) }); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, versionTimeout, errNoVersion)
	defer cancel()
	out, status, err := r.o.Processes.Output(ctx, proc.Spec{
		Path: f.Listener(), Args: []string{"--version"}, Env: r.o.Environ, Dir: f.Root, Stderr: r.o.Stderr, User: r.o.User, OwnsOrphan: r.o.isOurOrphan(),
	})
	if errors.Is(err, errNoVersion) {
		return "", &agentdir.DirError{
			Dir: f.Root, Why: fmt.Sprintf("bin/Agent.Listener --version does not end within %v", versionTimeout),
			Hint: "is the disk it is on slow, or stuck? does it end when it is called by hand, as this user?", Cause: errNoVersion,
		}
	}
	if err != nil {
		return "", execError(f, err)
	}
	return f.CheckVersion(out, status.ExitCode())
}
