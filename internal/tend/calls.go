package tend

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agent"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// call makes the function that performs a. What it needs of the runner is read
// here, in the loop; what it learned comes back as a note.
func (r *runner) call(a lifecycle.Ask) func(context.Context) word {
	switch a.Call {
	case lifecycle.Prepare:
		return r.prepare()
	case lifecycle.Register:
		return r.register()
	case lifecycle.LookUp:
		return r.lookUp()
	case lifecycle.RemoveTwin:
		r.carry()
		r.log.Info("Removing an earlier agent of the same name", "agent", r.o.Name, "agent_id", a.AgentID)
		return r.removal(a.AgentID, func(res lifecycle.Result) lifecycle.Event { return lifecycle.TwinRemoved{Result: res} })
	case lifecycle.Launch:
		return r.launch()
	case lifecycle.Disable:
		return r.disable(a.AgentID)
	case lifecycle.Inspect:
		if r.o.Given != nil {
			return r.inspectAlone()
		}
		return r.inspect(a.AgentID)
	case lifecycle.Remove:
		return r.removal(a.AgentID, func(res lifecycle.Result) lifecycle.Event { return lifecycle.Deleted{Result: res} })
	}
	panic("no such call: " + string(a.Call))
}

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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var once sync.Once
	var failed error
	together := func(spent *time.Duration, f func() error) {
		all.Add(1)
		go func() {
			defer all.Done()
			begun := time.Now()
			err := f()
			*spent = time.Since(begun)
			if err != nil {
				once.Do(func() { failed = err; cancel(err) })
			}
		}()
	}
	var network time.Duration
	together(&network, func() error { return r.tokenAndPool(ctx, &p) })
	together(&p.times.key, func() (err error) { p.key, err = agent.GenerateKey(); return err })
	together(&p.times.folder, func() error { return r.takeFolder(ctx, &p) })
	all.Wait()
	if failed == nil {
		p.left, failed = r.findLeftover(ctx, p.pool)
	}
	return word{
		note: func(r *runner) {
			r.release = p.release
			if failed != nil {
				return
			}
			r.pool, r.key, r.version = p.pool, p.key, p.version
			p.times.began = r.times.began
			r.times = p.times
			r.log.Info("Found the pool", "pool", p.pool.Name, "pool_id", p.pool.ID, "agent_version", p.version)
			r.takeOver(p.left)
		},
		event:   lifecycle.Prepared{Result: resultOf(failed), Leftover: p.left.event()},
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

func (r *runner) findPool(ctx context.Context) (azdo.Pool, error) {
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
		Path: f.Listener(), Args: []string{"--version"}, Env: r.o.Environ, Dir: f.Root, Stderr: r.o.Stderr, User: r.o.User,
	})
	if errors.Is(err, errNoVersion) {
		return "", &agent.UnfitError{
			Folder: f.Root, Why: fmt.Sprintf("bin/Agent.Listener --version does not end within %v", versionPatience),
			Hint: "is the disk it is on slow, or stuck? does it end when it is called by hand, as this user?", Cause: errNoVersion,
		}
	}
	if err != nil {
		return "", unfitIfExec(f, err)
	}
	return f.CheckVersion(out, status.ExitCode())
}

// register POSTs the agent. A key and a mark serve one registration: another
// one, after that agent was deleted, gets its own, so that no leftover can be
// taken for it. A POST that is repeated because it left no agent keeps them: if
// the first is acted on after all, what it makes is known by its mark.
func (r *runner) register() func(context.Context) word {
	key, instance := r.key, r.instance
	if r.used || instance == "" {
		instance = rand.Text()
	}
	renewKey := r.used
	a := r.newAgent(instance)
	r.seat = seat{pool: r.pool, name: r.o.Name}
	poolID := r.pool.ID
	return func(ctx context.Context) word {
		if renewKey {
			var err error
			if key, err = agent.GenerateKey(); err != nil {
				return word{event: lifecycle.Registered{Result: resultOf(err)}}
			}
		}
		exponent, modulus := agent.PublicKey(key)
		a.Authorization = &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: exponent, Modulus: modulus}}
		begun := time.Now()
		added, err := r.o.Server.AddAgent(ctx, poolID, a)
		spent := time.Since(begun)
		return word{
			note: func(r *runner) {
				r.key, r.instance, r.used = key, instance, err == nil
				r.granted, r.times.register = added, spent
				r.times.begin(begun)
			},
			event: lifecycle.Registered{Result: resultOfPost(err), AgentID: added.ID},
		}
	}
}

// newAgent is the agent as the server is to know it. The mark goes along, so
// that even an agent whose answer was lost can be told from a stranger's.
func (r *runner) newAgent(instance string) azdo.Agent {
	user := map[string]string{}
	maps.Copy(user, r.carried)
	maps.Copy(user, r.o.Capabilities)
	user[agent.MarkInstance] = instance
	user[agent.MarkHost] = r.home()
	user[agent.MarkKind] = agent.KindAgent
	if r.o.HandOver {
		user[agent.MarkRemoval] = agent.RemovalByKeeper
	}
	return azdo.Agent{
		Name:               r.o.Name,
		Version:            r.version,
		OSDescription:      agent.OSDescription(),
		MaxParallelism:     1,
		ProvisioningState:  "Provisioned",
		SystemCapabilities: agent.SystemCapabilities(r.o.Name, r.version, r.o.HostName, r.o.Folder.Root),
		UserCapabilities:   user,
	}
}

func (r *runner) lookUp() func(context.Context) word {
	poolID, instance := r.pool.ID, r.instance
	return func(ctx context.Context) word {
		found, there, err := r.o.Server.AgentByName(ctx, poolID, r.o.Name)
		e := lifecycle.LookedUp{Result: resultOf(err), Owner: lifecycle.Nobody, AgentID: found.ID, Online: found.Online()}
		if err != nil || !there {
			return word{event: e}
		}
		e.Owner = ownerOf(found, instance, r.home())
		e.Young = isYoung(found)
		if e.Owner == lifecycle.Ours {
			e.Complete = completes(found)
			return word{event: e, note: func(r *runner) { r.granted, r.used = found, true }}
		}
		e.Holder = &heldError{found, e.Owner == lifecycle.Placeholder}
		return word{event: e, note: func(r *runner) { r.twin = found }}
	}
}

// home is where an agent lives: a machine or container may have several folders
// with an agent in each, and they are no earlier lives of each other.
func (r *runner) home() string { return r.o.HostName + ":" + r.o.Folder.Root }

func ownerOf(a azdo.Agent, instance, home string) lifecycle.Owner {
	switch mark := a.UserCapabilities; {
	case instance != "" && mark[agent.MarkInstance] == instance:
		return lifecycle.Ours
	case mark[agent.MarkKind] == agent.KindAgent && strings.EqualFold(mark[agent.MarkHost], home):
		return lifecycle.SameHost
	case agent.IsPlaceholder(mark, a.Version, a.Online()):
		return lifecycle.Placeholder
	}
	return lifecycle.Other
}

// youngFor is how long an agent that azptend has added may need to come online:
// the listener's start, and its first try to make a session.
const youngFor = time.Minute

// isYoung says that an agent of azptend's may just be starting elsewhere. The
// server's clock and ours may differ: one from the future is as young as one that
// was made just now.
func isYoung(a azdo.Agent) bool {
	made := a.CreatedOn.Time
	return !a.Online() && a.UserCapabilities[agent.MarkKind] == agent.KindAgent && !made.IsZero() && time.Since(made) < youngFor
}

// carry keeps the user capabilities of the twin that is about to be removed:
// people set them in the portal, and demands rely on them.
func (r *runner) carry() {
	r.carried = map[string]string{}
	for name, value := range r.twin.UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") {
			r.carried[name] = value
		}
	}
}

// completes says that an answer holds all the listener needs to log on.
func completes(a azdo.Agent) bool {
	return a.Authorization != nil && a.Authorization.ClientID != "" && a.Authorization.AuthorizationURL != ""
}

func (r *runner) disable(id int) func(context.Context) word {
	poolID := r.seat.pool.ID
	return func(ctx context.Context) word {
		return word{event: lifecycle.Disabled{Result: resultOf(r.o.Server.DisableAgent(ctx, poolID, id))}}
	}
}

func (r *runner) inspect(id int) func(context.Context) word {
	poolID, listener := r.seat.pool.ID, r.listener
	return func(ctx context.Context) word {
		e := lifecycle.Inspected{Result: lifecycle.Result{Outcome: lifecycle.Missing}}
		if id != 0 {
			a, err := r.o.Server.AgentWithRequest(ctx, poolID, id)
			e = lifecycle.Inspected{Result: resultOf(err), Assigned: a.AssignedRequest != nil}
		}
		if listener != nil {
			// Where processes cannot be listed (macOS) this witness abstains.
			e.Worker, _ = listener.HasDescendant(agent.WorkerProgram)
		}
		return word{event: e}
	}
}

func (r *runner) removal(id int, answer func(lifecycle.Result) lifecycle.Event) func(context.Context) word {
	poolID := r.seat.pool.ID
	return func(ctx context.Context) word {
		return word{event: answer(resultOf(r.o.Server.RemoveAgent(ctx, poolID, id)))}
	}
}

// refusal is a no that asking again will not change.
type refusal struct{ why, hint string }

func (e *refusal) Error() string { return e.why }

// Hint is what to do about it, for a person.
func (e *refusal) Hint() string { return e.hint }

var errIncomplete = &refusal{why: "the server's answer to the registration lacks the agent's client id or its authorization URL"}

// registration is what the listener starts from.
func (s starter) registration(notifications string) (agent.Registration, error) {
	if !completes(s.granted) {
		return agent.Registration{}, errIncomplete
	}
	server := agent.ServerURL(s.o.URL, s.granted.Properties.Text("ServerUrl"))
	return agent.Registration{
		AgentID:          s.granted.ID,
		AgentName:        s.o.Name,
		PoolID:           s.pool.ID,
		PoolName:         s.pool.Name,
		ServerURL:        server,
		WorkFolder:       s.o.WorkFolder,
		ClientID:         s.granted.Authorization.ClientID,
		AuthorizationURL: s.granted.Authorization.AuthorizationURL,
		OAuthEndpointURL: agent.OAuthEndpointURL(server, s.granted.Authorization.AuthorizationURL),
		Notifications:    notifications,
	}, nil
}
