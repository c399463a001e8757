package supervisor

import (
	"context"
	"net/http"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// evidence is what the agent's folder tells of the agent that an earlier run has
// registered. Jobs can write all of it, so it counts only where it agrees with what
// the server shows.
type evidence struct {
	record      agentdir.OwnerRecord
	hasRecord   bool
	settings    agentdir.Registration // .agent
	hasSettings bool
	killed      bool   // a perf folder is there, which azptend removes when it ends
	locked      bool   // no other azptend, on whatever machine, lives in the folder
	home        string // see runner.home
}

// findEvidence reads the folder, which this run has locked.
func (r *runner) findEvidence() (e evidence, err error) {
	e.home = r.home()
	err = r.o.asUser(func() (err error) {
		e.settings, e.hasSettings, err = r.o.Dir.Registration()
		e.record, e.hasRecord = r.o.Dir.Owner()
		e.killed = r.o.Dir.PreviousRunKilled()
		e.locked = !r.o.RegisterOnly && r.o.Dir.IsLocked()
		return err
	})
	return e, err
}

// proves says whether an agent is the earlier run's, so that it may be removed even
// if it is online. A record on a volume that has no locks may be that of a machine
// that is at work: there it must be of this host too.
func (e evidence) proves(poolID int, a azdo.Agent) bool {
	if e.hasRecord && e.record.PoolID == poolID && e.record.Proves(a.Name, a.UserCapabilities) {
		return e.locked || strings.EqualFold(e.record.Home, e.home)
	}
	return e.killed && e.isFromBefore(poolID, a)
}

// isFromBefore says whether an agent was registered in this folder by an azptend
// that kept no records: .agent names it, and so do host name and folder.
func (e evidence) isFromBefore(poolID int, a azdo.Agent) bool {
	mark := a.UserCapabilities
	_, hasOwner := mark[agentdir.TagOwner]
	return e.hasSettings && !hasOwner && e.settings.PoolID == poolID && e.settings.AgentID == a.ID &&
		strings.EqualFold(e.settings.AgentName, a.Name) &&
		mark[agentdir.TagKind] == agentdir.KindAgent && strings.EqualFold(mark[agentdir.TagHost], e.home)
}

// findFormer finds the agent that an earlier run has left in its pool, if the
// evidence proves that it is this folder's: files that came with an image prove
// nothing. One that is offline needs no more than .agent and our mark.
func (r *runner) findFormer(ctx context.Context, pool azdo.Pool, e evidence) (azdo.Pool, azdo.Agent, error) {
	in := func(id int, name string) azdo.Pool {
		if id == pool.ID {
			return pool
		}
		return azdo.Pool{ID: id, Name: name}
	}
	ctx, done := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer done()
	if e.hasSettings {
		was := in(e.settings.PoolID, e.settings.PoolName)
		a, err := r.agentByID(ctx, was, e.settings)
		mine := e.proves(was.ID, a) || (e.isFromBefore(was.ID, a) && !a.Online())
		if err != nil || mine {
			return was, a, err
		}
	}
	if e.hasRecord && !(e.hasSettings && e.record.Matches(e.settings)) { // killed before .agent was written
		was := in(e.record.PoolID, e.record.PoolName)
		a, there, err := r.o.Server.AgentByName(ctx, was.ID, e.record.AgentName)
		if isHidden(err) { // once, see agentByID
			a, there, err = r.o.Server.AgentByName(ctx, was.ID, e.record.AgentName)
		}
		switch {
		case isHidden(err):
			return pool, azdo.Agent{}, nil
		case err != nil || (there && e.proves(was.ID, a)):
			return was, a, err
		}
	}
	return pool, azdo.Agent{}, nil
}

// agentByID looks at the agent that .agent names. One that is not there, or may not
// be looked at, is the zero value.
func (r *runner) agentByID(ctx context.Context, pool azdo.Pool, s agentdir.Registration) (azdo.Agent, error) {
	a, err := r.o.Server.AgentWithCapabilities(ctx, pool.ID, s.AgentID)
	// Once, that may not be true: nobody would remove the agent, or name it as one that
	// stays, if this run ends before it registers one of its own.
	if isHidden(err) {
		a, err = r.o.Server.AgentWithCapabilities(ctx, pool.ID, s.AgentID)
	}
	if isHidden(err) {
		if azdo.Status(err) == http.StatusForbidden {
			r.log.Warn("Cannot see whether the agent that the files in the folder name is still in its pool: if it is, a keeper or a person has to remove it",
				"agent", s.AgentName, "agent_id", s.AgentID, "pool", pool.Name, "pool_id", pool.ID, "error", err)
		}
		return azdo.Agent{}, nil
	}
	return a, err
}

func isHidden(err error) bool {
	return azdo.ClassOf(err) == azdo.NotFound || azdo.Status(err) == http.StatusForbidden
}
