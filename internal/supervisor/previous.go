package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// This file is about an earlier life in the same folder, which was killed: its
// agent may still be in its pool, and its listener may still run a job (on a
// machine; in a container it dies along).

// previousRun is what an earlier life left.
type previousRun struct {
	pool     azdo.Pool
	agent    azdo.Agent // its ID is 0 when it is not in the pool, or not ours
	listener Process    // nil when it has ended
	working  bool       // it has a worker
	evidence evidence   // of whose the agent is
}

// registrationRef is the place that an agent has in a pool.
type registrationRef struct {
	pool azdo.Pool
	name string
}

func (l previousRun) event() lifecycle.Leftover {
	return lifecycle.Leftover{AgentID: l.agent.ID, ListenerRuns: l.listener != nil, WorkerRuns: l.working}
}

// previousFilesTimeout bounds the look at what an earlier life has left, which comes before
// anything else: signals must work also if a file system is stuck.
const previousFilesTimeout = 5 * time.Second

// findPreviousAgent is the agent that an azptend has left that was killed in this
// folder, as far as its files tell; 0 is none. The folder is this life's then:
// what another azptend that lives there has is no leftover.
func (r *runner) findPreviousAgent() (id int) {
	if r.o.RegisterOnly {
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
		r.log.Warn("Cannot see what an earlier azptend has left in the agent's folder: its file system does not answer",
			"folder", o.Dir.Root, "waited", previousFilesTimeout.String())
		return 0
	}
	r.previousUnchecked, r.agentRef, r.release = f.unchecked, f.agentRef, f.release
	return f.agentID
}

// previousFiles is what an earlier azptend has left in this folder.
type previousFiles struct {
	unchecked bool // it may have left its agent in the pool
	agentID   int  // 0: none that is known
	agentRef  registrationRef
	release   func() // of the folder; nil where there is no agent
}

func readPreviousFiles(o Options) (f previousFiles) {
	_ = o.asUser(func() error {
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

// findPreviousRun looks for an earlier life's agent and listener. What is left of
// its jobs without a listener is killed: nobody renews their lock, so they are
// lost already.
func (r *runner) findPreviousRun(ctx context.Context, pool azdo.Pool) (previousRun, error) {
	l := previousRun{pool: pool}
	pids, err := r.findListeners()
	if err != nil {
		return previousRun{}, err
	}
	if len(pids) == 0 {
		if err := r.clearForeignFiles(); err != nil {
			return previousRun{}, err
		}
	}
	if l.evidence, err = r.findEvidence(); err != nil {
		return previousRun{}, err
	}
	if l.pool, l.agent, err = r.findFormer(ctx, pool, l.evidence); err != nil {
		return previousRun{}, err
	}
	r.adoptListener(ctx, pids, &l)
	return l, nil
}

// clearForeignFiles sees to it that the folder holds no agent's files but azptend's. The
// caller has found no listener that serves from them.
func (r *runner) clearForeignFiles() error {
	folder := r.o.Dir
	if !r.o.ReplaceForeignFiles {
		return r.o.asUser(folder.CheckForeignFiles)
	}
	var was agentdir.Registration
	var dir string
	err := r.o.asUser(func() (err error) {
		was, _, _ = folder.Registration()
		dir, err = folder.MoveForeignFiles(time.Now())
		return err
	})
	if dir != "" {
		r.log.Warn("Moved aside the files of an agent that azptend has not registered: it stays in its pool", "folder", dir,
			"agent", was.AgentName, "agent_id", was.AgentID, "pool_id", was.PoolID, "server", was.ServerURL)
	}
	return err
}

// adoptListener watches the listener that an earlier life has left; where there is none,
// what is left of its jobs is killed. One agent has one session, so of several
// listeners one can serve it: the one with a worker is kept, and the others are
// ended. A job can leave a process that looks like a listener.
func (r *runner) adoptListener(ctx context.Context, pids []int, l *previousRun) {
	for _, pid := range pids {
		listener, err := r.watchProcess(pid, r.isListener)
		if err != nil {
			r.log.Warn("Cannot watch an earlier life's listener: it may have just ended", "pid", pid, "error", err)
			continue
		}
		working, _, _ := listener.HasDescendant(agentdir.WorkerProgram)
		if l.listener != nil && !(working && !l.working) {
			r.endListener(ctx, listener)
			continue
		}
		if l.listener != nil {
			r.endListener(ctx, l.listener)
		}
		l.listener, l.working = listener, working
	}
	if l.listener == nil {
		r.killOrphans(ctx)
	}
}

// endListener ends a listener beside the one that serves the agent.
func (r *runner) endListener(ctx context.Context, listener Process) {
	killing, done := context.WithTimeout(ctx, killTimeout)
	defer done()
	n := listener.KillTree(killing)
	r.log.Warn("Killed one of several listeners in the agent's folder: one serves the agent", "pid", listener.Pid(), "processes", n)
}

// findListeners finds an earlier life's listener, and what else looks like one.
// One that somebody else has started is an error, and so is one of another
// container on a volume that has no locks: its azptend may be at work.
func (r *runner) findListeners() (pids []int, err error) {
	for _, f := range r.findProcesses(r.isListener) {
		if !f.startedByAzptend {
			return nil, r.o.Dir.OccupiedError(f.Pid, "an agent's listener that azptend has not started", f.Elsewhere)
		}
		if f.Elsewhere && !r.o.RegisterOnly && !r.o.Dir.IsLocked() {
			return nil, r.o.Dir.OccupiedError(f.Pid, "an agent's listener", true)
		}
		pids = append(pids, f.Pid)
	}
	return pids, nil
}

// processInfo is what the agent package has to know of a process.
func processInfo(f proc.Info) agentdir.ProcessInfo {
	return agentdir.ProcessInfo{Program: f.Program, Args: f.Args, Environ: f.Environ, Stat: f.Stat}
}

func (r *runner) isListener(f proc.Info) bool { return r.o.Dir.IsListener(processInfo(f)) }

// processScanTimeout bounds a look through the processes. A job can leave one whose memory
// or mounts hang (FUSE).
const processScanTimeout = 10 * time.Second

// watchProcess watches a process, if is still accepts it: the process that was listed may
// have ended since.
func (r *runner) watchProcess(pid int, is func(proc.Info) bool) (Process, error) {
	ctx, done := context.WithTimeoutCause(context.Background(), processScanTimeout,
		fmt.Errorf("cannot look at process %d: it does not answer within %v", pid, processScanTimeout))
	defer done()
	return bounded.Call(ctx, func() (Process, error) {
		is := func(f proc.Info) bool { return r.mayBeOurs(f) && is(f) }
		p, err := r.o.Processes.Adopt(pid, is)
		if err != nil && r.o.User != nil {
			err = r.o.User.Do(func() (err error) { p, err = r.o.Processes.Adopt(pid, is); return err })
		}
		return p, err
	}, nil)
}

// candidate is what is kept of a process that find has found.
type candidate struct {
	Pid              int
	Elsewhere        bool
	startedByAzptend bool // by an azptend in this folder
}

// mayBeOurs says that a process belongs to a user who can have started one in this
// folder: root, azptend's or the jobs'. Anybody else on the machine can show a program
// of his own in our folder, in a mount namespace of his own.
func (r *runner) mayBeOurs(f proc.Info) bool {
	return f.UID == 0 || f.UID == os.Geteuid() || r.o.User != nil && f.UID == r.o.User.UID
}

// findProcesses looks with our own eyes, and with those of the user that jobs run as: a
// root without CAP_SYS_PTRACE does not see what another user's process runs. A
// process that cannot be looked at in time ends the look: it, and those that would
// come after it, are left alone.
func (r *runner) findProcesses(is func(proc.Info) bool) []candidate {
	var mu sync.Mutex
	var found []candidate
	gather := func() {
		r.o.Processes.Find(func(f proc.Info) bool {
			if r.mayBeOurs(f) && is(f) {
				c := candidate{f.Pid, f.OtherMountNamespace(), r.o.Dir.StartedByAzptend(processInfo(f))}
				mu.Lock()
				defer mu.Unlock()
				found = append(found, c)
			}
			return false
		})
	}
	ended := bounded.Within(processScanTimeout, gather)
	if r.o.User != nil {
		ended = bounded.Within(processScanTimeout, func() { _ = r.o.User.Do(func() error { gather(); return nil }) }) && ended
	}
	if !ended {
		r.log.Warn("A process cannot be looked at: what an earlier run left running may not all be found", "waited", processScanTimeout.String())
	}
	mu.Lock()
	defer mu.Unlock()
	all := slices.Clone(found)
	slices.SortStableFunc(all, func(a, b candidate) int { return a.Pid - b.Pid })
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.Pid == b.Pid })
}

// isOrphan says that a process is of an earlier life's jobs: a worker, or what
// inherited its listener's environment, daemons that have left every group and
// lost every parent included.
func (r *runner) isOrphan(f proc.Info) bool {
	folder, p := r.o.Dir, processInfo(f)
	return folder.IsWorker(p) || (folder.IsDescendant(p) && !folder.IsListener(p) && !folder.IsUpdateScript(p))
}

// waitForPreviousUpdate waits for the script of an earlier life's listener, which
// moves the folder that the listener is in.
func (r *runner) waitForPreviousUpdate(ctx context.Context) {
	isScript := func(f proc.Info) bool { return r.o.Dir.IsUpdateScript(processInfo(f)) }
	patience := updateTimeout
	if len(r.findProcesses(r.isListener)) > 0 {
		patience = updateWithListenerTimeout
	}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	for _, f := range r.findProcesses(isScript) {
		p, err := r.watchProcess(f.Pid, isScript)
		if err != nil {
			continue
		}
		r.log.Info("An earlier life's listener updates itself: waiting for its script to end", "pid", f.Pid)
		select {
		case <-p.Done():
		case <-ctx.Done():
			r.log.Warn("The update's script does not end", "pid", f.Pid)
		}
	}
}

// updateWithListenerTimeout bounds the wait for an update's script while its listener still
// runs. The script does nothing before that ends: either it is about to end, or a
// job has left a process that only looks like such a script.
const updateWithListenerTimeout = 5 * time.Second

func (r *runner) killOrphans(ctx context.Context) {
	var pids []int
	killed := 0
	for some := range slices.Chunk(r.findProcesses(r.isOrphan), orphansAtOnce) {
		var watched []Process
		for _, f := range some {
			if p, err := r.watchProcess(f.Pid, r.isOrphan); err == nil {
				watched, pids = append(watched, p), append(pids, f.Pid)
			}
		}
		killing, done := context.WithTimeout(ctx, killTimeout)
		killed += r.o.Processes.KillTrees(killing, watched)
		done()
	}
	if len(pids) > 0 {
		r.log.Warn("Killed what an earlier life's job left running: its listener is gone, and the job with it",
			"pids", pids[:min(len(pids), loggedPids)], "processes", killed)
	}
}

const (
	// orphansAtOnce is how many processes are killed at a time: each takes a
	// descriptor, and a job can leave thousands.
	orphansAtOnce = 256
	// loggedPids is how many of them the log names.
	loggedPids = 10
)

// adoptPrevious makes an earlier life's agent and listener the ones that are dealt
// with, until they are replaced.
func (r *runner) adoptPrevious(l previousRun) {
	if l.event() == (lifecycle.Leftover{}) {
		return
	}
	r.wroteFiles = true // its files are here
	r.agentRef = registrationRef{pool: l.pool, name: l.agent.Name}
	args := []any{"agent", l.agent.Name, "agent_id", l.agent.ID, "pool", l.pool.Name}
	if l.listener == nil {
		r.log.Warn("Found the agent of an earlier life that was killed: removing it first", args...)
		return
	}
	r.log.Warn("Found the listener of an earlier life that was killed: a job that it runs is finished first",
		append(args, "pid", l.listener.Pid())...)
	r.listener, r.previousListener = l.listener, l.listener
	r.goBackground(func(ctx context.Context) {
		select {
		case <-l.listener.Done():
			r.killOrphans(ctx)
			r.post(message{from: l.listener, event: lifecycle.ListenerExited{}})
		case <-ctx.Done():
		}
	})
}
