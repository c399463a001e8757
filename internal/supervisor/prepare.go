package supervisor

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// prepared is what Prepare brings home.
type prepared struct {
	pool    azdo.Pool
	key     *rsa.PrivateKey
	version string
	left    leftover
	release func() // of the folder
	times   times
}

// prepare gets ready what needs nothing from the rest: token and then pool, key,
// and the agent's folder, side by side, so that together they cost two round
// trips.
func (r *runner) prepare() func(context.Context) word {
	p := prepared{release: r.release} // held since an earlier try, or nil
	if r.o.Given != nil {
		return func(ctx context.Context) word { return r.takeGiven(ctx, p) }
	}
	return func(ctx context.Context) word { return r.makeReady(ctx, p) }
}

func (r *runner) makeReady(ctx context.Context, p prepared) word {
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
	folder := together(&p.times.folder, func() error { return r.takeFolder(ctx, &p) })
	key := together(&p.times.key, func() (err error) { p.key, err = agentdir.GenerateKey(); return err })
	var spent time.Duration
	pool := together(&spent, func() error { return r.tokenAndPool(network, &p) })
	all.Wait()
	failed := cmp.Or(*folder, *key, *pool)
	if failed == nil {
		p.left, failed = r.findLeftover(ctx, p.pool)
	}
	return word{
		note: func(r *runner) {
			r.release = p.release
			if failed != nil {
				return
			}
			r.unsettled = false
			r.earlier, r.recorded = p.left.evidence, p.left.evidence.hasRecord
			r.pool, r.key, r.version = p.pool, p.key, p.version
			p.times.began = r.times.began
			r.times = p.times
			r.log.Info("Found the pool", "pool", p.pool.Name, "pool_id", p.pool.ID, "agent_version", p.version)
			r.takeOver(p.left)
		},
		event:   lifecycle.PrepareResult{Result: resultOf(failed), Leftover: p.left.event()},
		unheard: p.giveBack,
	}
}

// giveBack is for a life that has ended meanwhile.
func (p *prepared) giveBack() {
	if p.release != nil {
		p.release()
	}
}

// takeFolder locks the agent's folder, unless an earlier try has, and looks at
// it.
func (r *runner) takeFolder(ctx context.Context, p *prepared) (err error) {
	if r.o.HandOver {
		p.version = unknownVersion
		return r.o.Folder.MakeWritable()
	}
	if p.release == nil {
		err = r.o.asAgent(func() (err error) { p.release, err = r.o.Folder.Lock(); return err })
		if err != nil {
			return err
		}
	}
	r.awaitFormerUpdate(ctx)
	p.version, err = r.checkFolder(ctx)
	return err
}

func (r *runner) tokenAndPool(ctx context.Context, p *prepared) error {
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
	return usable(pool)
}

// requestPatience is for one request of the preparation, which as a whole may
// take longer.
const requestPatience = 45 * time.Second

var errNoAnswer = fmt.Errorf("none came within %v", requestPatience)

func (r *runner) findPool(ctx context.Context) (azdo.Pool, error) {
	ctx, done := context.WithTimeoutCause(ctx, requestPatience, errNoAnswer)
	defer done()
	if r.o.PoolID != 0 {
		return r.o.Server.PoolByID(ctx, r.o.PoolID)
	}
	return r.o.Server.PoolByName(ctx, r.o.PoolName)
}

// usable refuses pools whose agents are not ours to add.
func usable(p azdo.Pool) error {
	const another = "make a self-hosted pool (Organization settings, Agent pools, Add pool), and name it in AZP_POOL (--pool)"
	refuse := func(why string) error {
		return &refusal{fmt.Sprintf("cannot add an agent to pool %q: %s", p.Name, why), another}
	}
	switch {
	case p.IsHosted:
		return refuse("its agents are hosted by Microsoft")
	case strings.Contains(strings.ToLower(p.Options), "elasticpool"):
		return refuse("it is a scale set pool, which Azure DevOps fills itself")
	case strings.EqualFold(p.PoolType, "deployment"):
		return refuse("it is a deployment pool, whose agents take no jobs of a pool")
	}
	return nil
}

// refusal is a no that asking again will not change.
type refusal struct{ why, hint string }

func (e *refusal) Error() string { return e.why }

// Hint is what to do about it, for a person.
func (e *refusal) Hint() string { return e.hint }

// versionPatience is for a first start of the listener's runtime from a cold
// disk.
const versionPatience = 30 * time.Second

var errNoVersion = errors.New("the listener does not tell its version")

// checkFolder also asks the listener for its version, and so tries its runtime
// before the server knows of us.
func (r *runner) checkFolder(ctx context.Context) (string, error) {
	f := r.o.Folder
	if err := r.o.asAgent(func() error { return f.Check(r.o.WorkFolder) }); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, versionPatience, errNoVersion)
	defer cancel()
	out, status, err := r.o.Processes.Output(ctx, proc.Spec{
		Path: f.Listener(), Args: []string{"--version"}, Env: r.o.Environ, Dir: f.Root, Stderr: r.o.Stderr, User: r.o.User, OwnsOrphan: r.o.owns(),
	})
	if errors.Is(err, errNoVersion) {
		return "", &agentdir.UnfitError{
			Folder: f.Root, Why: fmt.Sprintf("bin/Agent.Listener --version does not end within %v", versionPatience),
			Hint: "is the disk it is on slow, or stuck? does it end when it is called by hand, as this user?", Cause: errNoVersion,
		}
	}
	if err != nil {
		return "", unfitIfExec(f, err)
	}
	return f.CheckVersion(out, status.ExitCode())
}
