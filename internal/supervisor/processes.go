package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// This file finds processes that a previous run left running.

// findListeners finds the listeners in this directory. It returns an error for one that
// azptend did not start, and on a volume without locks for one in another container, whose
// azptend may still run.
func (r *runner) findListeners() (pids []int, err error) {
	for _, f := range r.findProcesses(mslistener.IsListener) {
		if !f.startedByAzptend {
			return nil, r.o.Dir.OccupiedError(f.Pid, "an agent's listener that azptend did not start", f.elsewhere)
		}
		if f.elsewhere && !r.o.Policy.RegisterOnly && !r.o.Dir.IsLocked() {
			return nil, r.o.Dir.OccupiedError(f.Pid, "an agent's listener", true)
		}
		pids = append(pids, f.Pid)
	}
	return pids, nil
}

// adoptListener watches the listener of a previous run. If there is none, it kills the
// processes that the run's jobs left. An agent has one session, so of several listeners it
// keeps the one with a worker and kills the others. A job can leave a process that looks
// like a listener.
func (r *runner) adoptListener(ctx context.Context, pids []int, p *previousRun) {
	kill := func(l mslistener.Process) {
		killing, done := context.WithTimeout(ctx, killTimeout)
		defer done()
		n := l.KillTree(killing)
		r.log.Warn("Killed a surplus listener in the agent's directory: an agent needs only one", "pid", l.Pid(), "processes", n)
	}
	for _, pid := range pids {
		listener, err := r.watchProcess(pid, mslistener.IsListener)
		if err != nil {
			r.log.Warn("Cannot watch a listener of a previous run: it may have just exited", "pid", pid, "error", err)
			continue
		}
		worker := workerOf(ctx, listener)
		working := worker == lifecycle.WorkerWithSteps || worker == lifecycle.WorkerWithoutSteps
		switch {
		case p.listener == nil:
			p.listener, p.working = listener, working
		case working && !p.working:
			kill(p.listener)
			p.listener, p.working = listener, working
		default:
			kill(listener)
		}
	}
	if p.listener == nil {
		r.killOrphans(ctx)
	}
}

const (
	// orphansAtOnce is how many processes are killed at a time: each needs a file
	// descriptor, and a job can leave thousands.
	orphansAtOnce = 256
	// loggedPids is how many of their pids are logged.
	loggedPids = 10
)

// killOrphans kills the processes of a previous run's jobs.
func (r *runner) killOrphans(ctx context.Context) {
	var pids []int
	killed := 0
	for some := range slices.Chunk(r.findProcesses(mslistener.IsOrphan), orphansAtOnce) {
		var watched []mslistener.Process
		for _, f := range some {
			if p, err := r.watchProcess(f.Pid, mslistener.IsOrphan); err == nil {
				watched, pids = append(watched, p), append(pids, f.Pid)
			}
		}
		killing, done := context.WithTimeout(ctx, killTimeout)
		killed += r.o.Processes.KillTrees(killing, watched)
		done()
	}
	if len(pids) > 0 {
		r.log.Warn("Killed processes of a previous run's job: its listener has exited, and the job is lost",
			"pids", pids[:min(len(pids), loggedPids)], "processes", killed)
	}
}

// updateWithListenerTimeout bounds the wait for an update script while its listener still
// runs. The script waits for the listener's exit, which either comes soon, or the process
// is one of a job and only looks like such a script.
const updateWithListenerTimeout = 5 * time.Second

// waitForPreviousUpdate waits for the script that updates a listener of a previous run,
// because it moves the listener's directory.
func (r *runner) waitForPreviousUpdate(ctx context.Context) {
	timeout := updateTimeout
	if len(r.findProcesses(mslistener.IsListener)) > 0 {
		timeout = updateWithListenerTimeout
	}
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	for _, f := range r.findProcesses(mslistener.IsUpdateScript) {
		p, err := r.watchProcess(f.Pid, mslistener.IsUpdateScript)
		if err != nil {
			continue
		}
		r.log.Info("A listener of a previous run is updating: waiting for the update script", "pid", f.Pid)
		select {
		case <-p.Done():
		case <-ctx.Done():
			r.log.Warn("The update script did not finish", "pid", f.Pid)
		}
	}
}

// processScanTimeout bounds a scan of the processes. A job can leave one whose memory or
// mounts hang (FUSE).
const processScanTimeout = 10 * time.Second

// candidate is a process that findProcesses has found.
type candidate struct {
	Pid              int
	elsewhere        bool // in another container
	startedByAzptend bool // or descends from a listener that azptend started
}

// findProcesses finds processes of this directory. It scans with azptend's rights, and
// again with those of the user that jobs run as: root without CAP_SYS_PTRACE cannot see
// which program another user's process runs. If a process cannot be inspected in time, the
// scan stops there.
func (r *runner) findProcesses(is func(agentdir.Dir, proc.Info) bool) []candidate {
	var mu sync.Mutex
	var found []candidate
	scan := func() {
		r.o.Processes.Find(func(p proc.Info) bool {
			if r.mayBeOurs(p) && is(r.o.Dir, p) {
				c := candidate{p.Pid, p.OtherMountNamespace(), mslistener.PerfDir(p) != ""}
				mu.Lock()
				defer mu.Unlock()
				found = append(found, c)
			}
			return false
		})
	}
	ended := bounded.Within(processScanTimeout, scan)
	if user := r.o.Dir.User; user != nil {
		ended = bounded.Within(processScanTimeout, func() { _ = user.Do(func() error { scan(); return nil }) }) && ended
	}
	if !ended {
		r.log.Warn("Cannot inspect a process: azptend may miss processes of a previous run", "timeout", processScanTimeout.String())
	}
	mu.Lock()
	defer mu.Unlock()
	all := slices.Clone(found)
	slices.SortStableFunc(all, func(a, b candidate) int { return a.Pid - b.Pid })
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.Pid == b.Pid })
}

// mayBeOurs reports whether a process runs as root, as azptend's user or as the jobs' user.
// Other users can run a program of our directory in their own mount namespace.
func (r *runner) mayBeOurs(p proc.Info) bool {
	return p.UID == 0 || p.UID == os.Geteuid() || r.o.Dir.User != nil && p.UID == r.o.Dir.User.UID
}

// watchProcess watches a process if "is" still accepts it: the process that was found may
// have exited, and the kernel may have reused its pid.
func (r *runner) watchProcess(pid int, is func(agentdir.Dir, proc.Info) bool) (mslistener.Process, error) {
	ctx, done := context.WithTimeoutCause(context.Background(), processScanTimeout,
		fmt.Errorf("cannot inspect process %d: it did not respond within %v", pid, processScanTimeout))
	defer done()
	return bounded.Call(ctx, func() (mslistener.Process, error) {
		still := func(p proc.Info) bool { return r.mayBeOurs(p) && is(r.o.Dir, p) }
		p, err := r.o.Processes.Adopt(pid, still)
		if user := r.o.Dir.User; err != nil && user != nil {
			err = user.Do(func() (err error) { p, err = r.o.Processes.Adopt(pid, still); return err })
		}
		return p, err
	}, nil)
}
