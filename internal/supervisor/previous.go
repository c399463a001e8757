package supervisor

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
)

// This file finds the agent of a previous run that was killed in the same directory. The
// agent may still be in its pool. On a machine its listener may still run a job; in a
// container it exits with azptend.

// previousRun is what a previous run left.
type previousRun struct {
	pool     azdo.Pool
	agent    azdo.Agent         // its ID is 0 if it is not in the pool, or not ours
	listener mslistener.Process // nil if it has exited
	working  bool               // the listener has a worker
	hidden   bool               // this identity may not see the agent
	evidence evidence
}

// registrationRef identifies an agent in the log.
type registrationRef struct {
	pool azdo.Pool
	name string
}

func (p previousRun) leftover() lifecycle.Leftover {
	return lifecycle.Leftover{AgentID: p.agent.ID, Hidden: p.hidden, ListenerRuns: p.listener != nil, WorkerRuns: p.working}
}

// previousFilesTimeout bounds the first reads of the directory, which come before the
// loop: signals must work even if a file system hangs.
const previousFilesTimeout = 5 * time.Second

// findPreviousAgent returns the agent of a run that was killed in this directory, according
// to its files; 0 if there is none. It locks the directory if it finds one, so that the
// agent of another azptend that uses the directory is not taken for a leftover.
func (r *runner) findPreviousAgent() (id int) {
	if r.o.Policy.RegisterOnly {
		return 0
	}
	ctx, done := context.WithTimeout(context.Background(), previousFilesTimeout)
	defer done()
	o := r.o
	f, err := bounded.Call(ctx, func() (previousFiles, error) { return readPreviousFiles(o), nil }, func(late previousFiles, _ error) {
		if late.release != nil {
			late.release()
		}
	})
	if err != nil {
		r.log.Warn("Cannot check what a previous run left in the agent's directory: its file system does not respond",
			"directory", o.Dir.Root, "timeout", previousFilesTimeout.String())
		return 0
	}
	r.previousUnchecked, r.agentRef, r.release = f.unchecked, f.agentRef, f.release
	return f.agentID
}

// previousFiles is what the files of a previous run show.
type previousFiles struct {
	unchecked bool // that run may have left its agent in the pool
	agentID   int  // 0: unknown
	agentRef  registrationRef
	release   func() // of the directory's lock; nil if there is no agent
}

func readPreviousFiles(o Options) (f previousFiles) {
	_ = o.Dir.AsUser(func() error {
		if f.unchecked = o.Dir.MayHaveLeftAgent(); !f.unchecked || o.Handoff != nil {
			return nil
		}
		was, found, err := o.Dir.Registration()
		if err != nil || !found {
			return err
		}
		if f.release, err = o.Dir.Lock(); err == nil {
			f.agentID, f.agentRef = was.AgentID, registrationRef{pool: azdo.Pool{ID: was.PoolID, Name: was.PoolName}, name: was.AgentName}
		}
		return err
	})
	return f
}

// findPreviousRun finds the agent and the listener of a previous run. If there is no
// listener, it kills the processes that its jobs left: those jobs are lost, because nobody
// renews their locks.
func (r *runner) findPreviousRun(ctx context.Context, pool azdo.Pool) (previousRun, error) {
	p := previousRun{pool: pool}
	pids, err := r.findListeners()
	if err != nil {
		return previousRun{}, err
	}
	if len(pids) == 0 {
		if err := r.clearForeignFiles(); err != nil {
			return previousRun{}, err
		}
	}
	if p.evidence, err = r.findEvidence(); err != nil {
		return previousRun{}, err
	}
	if p.pool, p.agent, p.hidden, err = r.findPreviousInPool(ctx, pool, p.evidence); err != nil {
		return previousRun{}, err
	}
	r.adoptListener(ctx, pids, &p)
	return p, nil
}

// clearForeignFiles moves the files of an agent that azptend did not register out of the
// directory, or returns an error if ReplaceForeignFiles is not set. The caller has found no
// listener that uses them.
func (r *runner) clearForeignFiles() error {
	dir := r.o.Dir
	if !r.o.ReplaceForeignFiles {
		return dir.AsUser(dir.CheckForeignFiles)
	}
	var was agentdir.Registration
	var moved string
	err := dir.AsUser(func() (err error) {
		was, _, _ = dir.Registration()
		moved, err = dir.MoveForeignFiles(time.Now())
		return err
	})
	if moved != "" {
		args := []any{"directory", moved, "agent", was.AgentName, "agent_id", was.AgentID, "pool_id", was.PoolID, "server", was.ServerURL}
		if strings.TrimRight(was.ServerURL, "/") == r.o.URL {
			args = append(args, "remove_with", removeCommand(r.o.URL, was.PoolID, was.AgentID))
		} else { // a job may have written that address, so do not put it into a command
			args = append(args, "hint", "delete that agent in the server's portal (Organization settings, Agent pools, the pool, Agents)")
		}
		r.log.Warn("Moved aside the files of an agent that azptend did not register: it stays in its pool", args...)
	}
	return err
}

// adoptPrevious makes the agent and the listener of a previous run the current ones, until
// this run registers.
func (r *runner) adoptPrevious(p previousRun) {
	if p.leftover() == (lifecycle.Leftover{}) {
		return
	}
	r.wroteFiles = true // its files exist
	r.agentRef = registrationRef{p.pool, p.agent.Name}
	if p.hidden && p.listener == nil { // lifecycle reports it
		return
	}
	args := []any{"agent", p.agent.Name, "agent_id", p.agent.ID, "pool", p.pool.Name}
	if p.listener == nil {
		r.log.Warn("Found the agent of a previous run that was killed: removing it first", args...)
		return
	}
	r.log.Warn("The listener of a previous run that was killed is still running: waiting for its job", append(args, "pid", p.listener.Pid())...)
	r.listener, r.previousListener = p.listener, p.listener
	r.goBackground(func(ctx context.Context) {
		select {
		case <-p.listener.Done():
			r.killOrphans(ctx)
			r.post(message{from: p.listener, event: lifecycle.ListenerExited{}})
		case <-ctx.Done():
		}
	})
}

// evidence is what the directory shows about the agent that a previous run registered.
// Jobs can write all of it, so it counts only if it agrees with the server.
type evidence struct {
	record      agentdir.OwnerRecord
	hasRecord   bool
	settings    agentdir.Registration // .agent
	hasSettings bool
	killed      bool   // there are files that azptend removes when it exits
	locked      bool   // no other azptend, on any machine, uses the directory
	home        string // see runner.home
}

// findEvidence reads the directory, which this run has locked.
func (r *runner) findEvidence() (e evidence, err error) {
	e.home = r.home
	err = r.o.Dir.AsUser(func() (err error) {
		e.settings, e.hasSettings, err = r.o.Dir.Registration()
		e.record, e.hasRecord = r.o.Dir.Owner()
		e.killed = r.o.Dir.PreviousRunKilled()
		e.locked = !r.o.Policy.RegisterOnly && r.o.Dir.IsLocked()
		return err
	})
	return e, err
}

// proves reports whether an agent is that of the previous run, so that it may be removed
// even if it is online. On a volume without locks, the record may belong to a running
// azptend on another machine, so there it must also name this host.
func (e evidence) proves(poolID int, a azdo.Agent) bool {
	if e.hasRecord && e.record.PoolID == poolID && e.record.Proves(a.Name, a.UserCapabilities) {
		return e.locked || strings.EqualFold(e.record.Home, e.home)
	}
	return e.killed && e.isFromBefore(poolID, a)
}

// isFromBefore reports whether an old azptend, which wrote no owner record, registered an
// agent in this directory: .agent and the agent's host tag agree.
func (e evidence) isFromBefore(poolID int, a azdo.Agent) bool {
	tags := a.UserCapabilities
	_, hasOwner := tags[agentdir.TagOwner]
	return e.hasSettings && !hasOwner && e.settings.PoolID == poolID && e.settings.AgentID == a.ID &&
		strings.EqualFold(e.settings.AgentName, a.Name) &&
		tags[agentdir.TagKind] == agentdir.KindAgent && strings.EqualFold(tags[agentdir.TagHost], e.home)
}

// findPreviousInPool finds the agent that a previous run left in its pool, if the evidence
// proves that it was registered in this directory: .agent alone may have come with an
// image. For an offline agent, .agent and the agent's tags are enough. hidden says that the
// server refuses to show an agent that azptend registered in this directory.
func (r *runner) findPreviousInPool(ctx context.Context, pool azdo.Pool, e evidence) (was azdo.Pool, a azdo.Agent, hidden bool, err error) {
	poolOf := func(id int, name string) azdo.Pool {
		if id == pool.ID {
			return pool
		}
		return azdo.Pool{ID: id, Name: name}
	}
	ctx, done := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer done()
	hiddenPool, hiddenAgent := pool, azdo.Agent{}
	if e.hasSettings {
		was = poolOf(e.settings.PoolID, e.settings.PoolName)
		a, err = lookTwice(func() (azdo.Agent, error) {
			return r.o.Server.AgentByID(ctx, was.ID, e.settings.AgentID, azdo.Include{Capabilities: true})
		})
		switch ours := e.proves(was.ID, a) || (e.isFromBefore(was.ID, a) && !a.Online()); {
		case err == nil && ours, err != nil && !isHidden(err):
			return was, a, false, err
		case azdo.Status(err) == http.StatusForbidden && (e.killed || e.hasRecord):
			hidden, hiddenPool, hiddenAgent = true, was, azdo.Agent{ID: e.settings.AgentID, Name: e.settings.AgentName}
		case azdo.Status(err) == http.StatusForbidden:
			r.log.Warn("Cannot check whether the agent of a previous run is still in its pool: it may stay there",
				"agent", e.settings.AgentName, "agent_id", e.settings.AgentID, "pool", was.Name, "pool_id", was.ID, "error", err,
				"remove_with", removeCommand(r.o.URL, was.ID, e.settings.AgentID))
		}
	}
	if e.hasRecord && !(e.hasSettings && e.record.Matches(e.settings)) { // killed before .agent was written
		was = poolOf(e.record.PoolID, e.record.PoolName)
		a, err = lookTwice(func() (azdo.Agent, error) {
			found, _, err := r.o.Server.AgentByName(ctx, was.ID, e.record.AgentName)
			return found, err
		})
		switch {
		case err == nil && a.ID != 0 && e.proves(was.ID, a), err != nil && !isHidden(err):
			return was, a, false, err
		case azdo.Status(err) == http.StatusForbidden:
			hidden, hiddenPool, hiddenAgent = true, was, azdo.Agent{Name: e.record.AgentName}
		}
	}
	return hiddenPool, hiddenAgent, hidden, nil
}

// lookTwice repeats a request whose answer does not show the agent: one such answer may be
// wrong, and nobody would remove or report the agent.
func lookTwice(look func() (azdo.Agent, error)) (azdo.Agent, error) {
	a, err := look()
	if isHidden(err) {
		a, err = look()
	}
	return a, err
}

func isHidden(err error) bool {
	return azdo.ClassOf(err) == azdo.NotFound || azdo.Status(err) == http.StatusForbidden
}
