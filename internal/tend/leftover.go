package tend

import (
	"context"
	"net/http"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// This file is about an earlier life in the same folder, which was killed: its
// agent may still be in its pool, and its listener may still run a job (on a
// machine; in a container it dies along).

// leftover is what an earlier life left.
type leftover struct {
	pool     azdo.Pool
	agent    azdo.Agent // its ID is 0 when it is not in the pool, or not ours
	listener Process    // nil when it has ended
}

// seat is the place that an agent has in a pool.
type seat struct {
	pool azdo.Pool
	name string
}

func (l leftover) event() lifecycle.Leftover {
	return lifecycle.Leftover{AgentID: l.agent.ID, Alive: l.listener != nil}
}

// findLeftover looks for an earlier life's agent and listener. Workers without a
// listener are killed: nobody renews their job's lock, so it is lost already.
func (r *runner) findLeftover(ctx context.Context, pool azdo.Pool) (leftover, error) {
	l := leftover{pool: pool}
	pid, err := r.findListener()
	if err != nil {
		return leftover{}, err
	}
	if l.pool, l.agent, err = r.findFormer(ctx, pool); err != nil {
		return leftover{}, err
	}
	if pid != 0 {
		if l.listener, err = r.o.Processes.Adopt(pid); err == nil {
			return l, nil
		}
		r.log.Warn("Cannot watch an earlier life's listener: it may have just ended", "pid", pid, "error", err)
	}
	r.killStrayWorkers(ctx)
	return l, nil
}

// findListener finds an earlier life's listener; 0 is none. One that somebody
// else has started is an error.
func (r *runner) findListener() (pid int, err error) {
	for _, f := range r.o.Processes.Find(r.o.Folder.IsListener) {
		if !r.o.Folder.Started(f.Environ) {
			return 0, r.o.Folder.Occupied(f.Pid, "an agent's listener that azptend has not started")
		}
		pid = f.Pid
	}
	return pid, nil
}

// findFormer finds the agent that the folder's files name, if it is in its pool
// and bears this folder's mark: files that came with an image are nobody's.
func (r *runner) findFormer(ctx context.Context, pool azdo.Pool) (azdo.Pool, azdo.Agent, error) {
	was, found, err := r.o.Folder.Registration()
	if err != nil || !found {
		return pool, azdo.Agent{}, err
	}
	if was.PoolID != pool.ID {
		pool = azdo.Pool{ID: was.PoolID, Name: was.PoolName}
	}
	a, err := r.o.Server.AgentWithCapabilities(ctx, pool.ID, was.AgentID)
	switch status := azdo.Status(err); {
	case status == http.StatusNotFound, status == http.StatusForbidden:
		return pool, azdo.Agent{}, nil
	case err != nil:
		return pool, azdo.Agent{}, err
	case ownerOf(a, "", r.home()) != lifecycle.SameHost:
		return pool, azdo.Agent{}, nil
	}
	return pool, a, nil
}

func (r *runner) killStrayWorkers(ctx context.Context) {
	for _, f := range r.o.Processes.Find(r.o.Folder.IsWorker) {
		p, err := r.o.Processes.Adopt(f.Pid)
		if err != nil {
			continue
		}
		killing, done := context.WithTimeout(ctx, killPatience)
		n := p.KillTree(killing)
		done()
		r.log.Warn("Killed what an earlier life's job left running: its listener is gone, and the job with it", "pid", f.Pid, "processes", n)
	}
}

// takeOver makes an earlier life's agent and listener the ones that are dealt
// with, until they are replaced.
func (r *runner) takeOver(l leftover) {
	if l.event() == (lifecycle.Leftover{}) {
		return
	}
	r.wrote = true // its files are here
	r.seat = seat{pool: l.pool, name: l.agent.Name}
	args := []any{"agent", l.agent.Name, "agent_id", l.agent.ID, "pool", l.pool.Name}
	if l.listener == nil {
		r.log.Warn("Found the agent of an earlier life that was killed: removing it first", args...)
		return
	}
	r.log.Warn("Found the listener of an earlier life that was killed: a job that it runs is finished first",
		append(args, "pid", l.listener.Pid())...)
	r.listener = l.listener
	r.besides(func(ctx context.Context) {
		select {
		case <-l.listener.Done():
			r.say(word{event: lifecycle.ListenerExited{}})
		case <-ctx.Done():
		}
	})
}
