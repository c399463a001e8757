package fakeagent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/proc"
)

// shutdownText is the issue of a job that was cancelled because its agent shut down (5.3).
const shutdownText = "The agent has received a shutdown signal. This can happen when the agent service is stopped, or a manually started agent is canceled."

// The reasons why a job's steps are stopped.
var (
	errCanceled = errors.New("the server cancelled the job")
	errShutdown = errors.New("the agent shuts down")
)

// firstFrame is the timeout of the wait for the job.
const firstFrame = 30 * time.Second

// workerJob is a job in its worker.
type workerJob struct {
	message      jobMessage
	once         bool
	env          environ
	agent        agentFile
	install      installation
	version      string
	timeScale    timeScale
	plan         *plan
	procs        *proc.Init
	log          *log.Logger
	mask         *strings.Replacer
	leaving      atomic.Bool   // the listener shuts down
	stoppedSteps []*proc.Child // stopped steps, whose groups are killed at the end
}

// workerMain is "Agent.Worker spawnclient <in> <out>".
func workerMain(ctx context.Context, args []string, env environ, stderr *os.File) int {
	fail := func(err error) int {
		fmt.Fprintln(stderr, err)
		return exitTerminated
	}
	if len(args) != 3 || args[0] != "spawnclient" {
		return fail(errors.New("cannot start: the worker is started by the listener"))
	}
	in, err := inherited(args[1])
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	if out, err := inherited(args[2]); err == nil {
		defer out.Close()
	}
	w := &workerJob{env: env}
	if env["AZPTEND_FAKEAGENT_TERM"] == "ignore" {
		signal.Ignore(syscall.SIGTERM) // the steps inherit it
	}
	if w.install, err = findInstallation(); err != nil {
		return fail(err)
	}
	diag, diagFile, err := openDiag(env["WORKER_DIAGLOGPATH"], w.install.root, "Worker")
	if err != nil {
		return fail(err)
	}
	defer diagFile.Close()
	w.log = diag
	if err := w.prepare(in); err != nil {
		diag.Print(err)
		return fail(err)
	}
	defer w.procs.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go w.listen(in, stop)
	return workerExitBase + int(w.run(ctx))
}

// inherited is the end of a pipe that this process inherited from the listener. The steps must
// not inherit it.
func inherited(number string) (*os.File, error) {
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("cannot use descriptor %q", number)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("cannot use descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(fd), "pipe"), nil
}

// prepare reads the job from the listener, and prepares its run.
func (w *workerJob) prepare(in *os.File) error {
	k, err := readSettings(w.env)
	if err != nil {
		return err
	}
	w.timeScale, w.version = k.timeScale, versionOf(w.install.bin, k.major)
	if w.agent, err = readAgentFile(w.install.root); err != nil {
		return err
	}
	_ = in.SetReadDeadline(time.Now().Add(firstFrame))
	kind, body, err := readFrame(in)
	if err != nil {
		return fmt.Errorf("cannot read the job from the listener: %w", err)
	}
	_ = in.SetReadDeadline(time.Time{})
	w.once = kind == ipcJobOnce
	if w.message, err = parseJobMessage(body); err != nil {
		return err
	}
	w.mask = w.message.secretMask()
	if w.plan, err = newPlan(w.message, newHTTPClient(), w.version, w.timeScale); err != nil {
		return err
	}
	w.procs, err = newProcs()
	return err
}

// listen waits for the listener's stop requests. If the listener has exited, the worker continues
// (5.1).
func (w *workerJob) listen(in *os.File, stop context.CancelCauseFunc) {
	for {
		kind, _, err := readFrame(in)
		if err != nil {
			return
		}
		switch kind {
		case ipcCancel:
			stop(errCanceled)
		case ipcShutdown:
			w.leaving.Store(true)
			stop(errShutdown)
		}
	}
}

// run runs the job and reports it. ctx ends with a stop request. Reports to the server continue
// after that.
func (w *workerJob) run(ctx context.Context) result {
	report := context.WithoutCancel(ctx)
	root := record{ID: w.message.JobID, Type: "Job", Name: w.message.JobDisplayName, RefName: w.message.JobName, WorkerName: w.agent.AgentName, Order: 1}
	root.begin()
	records := w.stepRecords()
	w.report(report, append([]record{root}, records...)...)

	outcome := w.runSteps(ctx, records)
	if cause := context.Cause(ctx); cause != nil {
		outcome = canceled
		if errors.Is(cause, errShutdown) {
			root.addError(shutdownText)
		}
	}
	for _, child := range w.stoppedSteps { // the agent cleans up orphan processes at a job's end
		child.KillTree(report)
	}
	root.end(outcome)
	w.report(report, root)
	if w.message.reportsItself() {
		if err := w.plan.jobCompleted(report, outcome, w.once || w.leaving.Load()); err != nil {
			w.log.Printf("cannot report the job's end: %v", err)
		}
	}
	return outcome
}

// stepRecords are pending records of all steps.
func (w *workerJob) stepRecords() []record {
	var records []record
	for i, s := range w.message.Steps {
		records = append(records, record{
			ID: cmp.Or(s.ID, agentdir.NewGUID()), ParentID: w.message.JobID, Type: "Task", Name: cmp.Or(s.DisplayName, s.Name), RefName: s.Name,
			State: statePending, WorkerName: w.agent.AgentName, Order: i + 1,
		})
	}
	return records
}

func (w *workerJob) report(ctx context.Context, records ...record) {
	if err := w.plan.updateRecords(ctx, records...); err != nil {
		w.log.Printf("cannot update the timeline: %v", err)
	}
}
