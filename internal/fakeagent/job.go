package fakeagent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/azptend/azptend/internal/proc"
)

// The times of a job (7.4, 5.3).
const (
	renewEvery      = 60 * time.Second
	renewRetry      = 15 * time.Second
	firstRenewTries = 5
	firstRenewPause = 5 * time.Second
	killAfterCancel = 60 * time.Second // after the cancellation's own timeout
)

// job is a job in the listener.
type job struct {
	l            *listener
	message      jobMessage
	raw          []byte
	stopRequests chan stopRequest
	done         chan struct{}
}

// requestStop passes a request on. It drops the request if eight are queued.
func (j *job) requestStop(w stopRequest) {
	select {
	case j.stopRequests <- w:
	default:
	}
}

// start runs the job in the background. A signal does not end its context: the worker gets a
// request, and ends the job itself (5.3).
func (j *job) start(ctx context.Context) {
	go func() {
		defer close(j.done)
		j.run(context.WithoutCancel(ctx))
	}()
}

func (j *job) run(ctx context.Context) {
	id := strconv.FormatInt(j.message.RequestID, 10)
	lockedUntil, err := j.renewFirst(ctx)
	if err != nil { // no worker is started (5.6: order of a job)
		j.l.log.Printf("cannot renew job request %s for the first time: %v", id, err)
		return
	}
	j.l.perf.count("JobRequestRenewed_" + id)
	j.l.term.dated("Running job: %s", j.message.JobDisplayName)
	outcome := failed
	w, err := j.startWorker()
	if err != nil {
		j.l.term.err("An error occurred: %v", err)
		j.reportCrash(ctx)
	} else {
		j.l.notify.send("Starting job: " + j.message.JobID)
		if j.l.settings.closesSocket {
			j.l.notify.close()
		}
		j.l.perf.count("SentJobToWorker_" + id)
		outcome = j.watch(ctx, w, lockedUntil)
	}
	j.l.log.Printf("Finish job request for job %s with result: %s", j.message.JobID, outcome)
	j.l.term.dated("Job %s completed with result: %s", j.message.JobDisplayName, outcome)
	if !j.message.reportsItself() {
		if err := j.l.pool.finishJob(ctx, j.message.RequestID, outcome); err != nil {
			j.l.log.Printf("cannot finish job request %s: %v", id, err)
		}
	}
	j.l.notify.send("Finished job: " + j.message.JobID)
}

// renewFirst must succeed before any work starts; it is tried five times (5.6).
func (j *job) renewFirst(ctx context.Context) (time.Time, error) {
	for try := 1; ; try++ {
		until, err := j.l.pool.renewJob(ctx, j.message.RequestID)
		if err == nil || try == firstRenewTries || lockIsLost(err) {
			return until, err
		}
		j.l.log.Printf("cannot renew the job request: %v", err)
		j.l.settings.timeScale.sleep(ctx, firstRenewPause)
	}
}

// lockIsLost says whether the job no longer belongs to this agent (7.4).
func lockIsLost(err error) bool {
	return isType(err, "TaskAgentJobNotFound") || isType(err, "TaskAgentJobTokenExpired") || isStatus(err, 404)
}

// worker is the process of a job and the pipe to it.
type worker struct {
	child *proc.Child
	pipe  *os.File // to the worker
	back  *os.File // from the worker, which does not use it
}

// startWorker starts "Agent.Worker spawnclient <in> <out>" with the listener's whole environment
// (4.4), and sends it the job.
func (j *job) startWorker() (*worker, error) {
	in, pipe, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	defer in.Close()
	back, out, err := os.Pipe()
	if err != nil {
		pipe.Close()
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	defer out.Close()
	w := &worker{pipe: pipe, back: back}
	w.child, err = j.l.procs.Start(context.Background(), proc.Spec{
		Path:  filepath.Join(j.l.install.root, "bin", workerName),
		Args:  []string{"spawnclient", "3", "4"},
		Env:   j.l.env.list(),
		Dir:   j.l.install.root,
		Extra: []*os.File{in, out},
	})
	if err != nil {
		w.close()
		return nil, err
	}
	kind := ipcJob
	if j.l.opts.once {
		kind = ipcJobOnce
	}
	if err := writeFrame(w.pipe, kind, j.raw); err != nil {
		j.l.log.Printf("%v", err) // it has exited, and its exit code counts
	}
	return w, nil
}

func (w *worker) close() {
	w.pipe.Close()
	w.back.Close()
}

// watch renews the lock and passes stop requests on until the worker has ended.
func (j *job) watch(ctx context.Context, w *worker, lockedUntil time.Time) result {
	defer w.close()
	renewing, stop := context.WithCancel(ctx)
	lost := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		j.keepLock(renewing, lockedUntil, lost)
	}()
	defer func() { stop(); <-ended }()

	isLost, kill := false, (<-chan time.Time)(nil)
	for {
		select {
		case <-w.child.Done():
			return j.outcome(ctx, w.child.Status(), isLost)
		case request := <-j.stopRequests:
			if err := writeFrame(w.pipe, request.kind, nil); err != nil {
				j.l.log.Printf("%v", err)
			}
			// Only a cancellation by the server has a timeout; a shutdown waits without one
			// (5.3).
			if request.kind == ipcCancel && kill == nil {
				kill = time.After(j.l.settings.timeScale.scaled(request.timeout + killAfterCancel))
			}
		case <-lost:
			isLost, lost = true, nil
			j.requestStop(stopRequest{kind: ipcCancel, timeout: time.Minute})
		case <-kill:
			kill = nil
			j.l.log.Printf("killing the worker: it did not end after its cancellation")
			w.child.KillTree(ctx)
		}
	}
}

func (j *job) outcome(ctx context.Context, s proc.Status, lockLost bool) result {
	r, ok := resultOfWorker(s.Code)
	if s.Signal != 0 || !ok {
		j.l.term.err("An error occurred: the worker ended with %v", s)
		j.reportCrash(ctx)
		r = failed
	}
	if lockLost {
		r = abandoned
	}
	return r
}

// keepLock renews the lock every minute until ctx ends or the lock is lost: then it closes lost.
// It retries after failures while the lock is valid.
func (j *job) keepLock(ctx context.Context, lockedUntil time.Time, lost chan<- struct{}) {
	pause := renewEvery
	for j.l.settings.timeScale.sleep(ctx, pause) {
		until, err := j.l.pool.renewJob(ctx, j.message.RequestID)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			lockedUntil, pause = until, renewEvery
			j.l.perf.count("JobRequestRenewed_" + strconv.FormatInt(j.message.RequestID, 10))
			continue
		}
		j.l.log.Printf("cannot renew the job request: %v", err)
		pastLock := !lockedUntil.IsZero() && time.Now().After(lockedUntil)
		if lockIsLost(err) || pastLock {
			close(lost)
			return
		}
		pause = renewRetry
	}
}

// reportCrash completes the job for a worker that crashed (the real listener's "force fail").
func (j *job) reportCrash(ctx context.Context) {
	if !j.message.reportsItself() {
		return
	}
	p, err := newPlan(j.message, newHTTPClient(), j.l.version, j.l.settings.timeScale)
	if err == nil {
		err = p.jobCompleted(ctx, failed, j.l.opts.once)
	}
	if err != nil {
		j.l.log.Printf("cannot report the worker's crash: %v", err)
	}
}
