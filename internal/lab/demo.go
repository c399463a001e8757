package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/exitcode"
)

type demoFlags struct {
	stay    bool
	verbose bool
}

func newDemo(p cli.Process) *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run an agent from start to end on this machine, without Azure",
		Long: `Run an agent from start to end on this machine, without Azure: an emulated
Azure DevOps and identity endpoint, "azptend run" as a container would start it,
two jobs, a SIGTERM in the middle of the second, and an empty pool at the end.

The agent is a fake one; everything else is the real thing.`,
		Example: "  azptend-lab demo --verbose",
		RunE:    func(*cobra.Command, []string) error { return demo(p, f) },
	}
	c.Flags().BoolVar(&f.stay, "stay", false, "keep the emulator running at the end")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "show azptend's own log")
	return c
}

// stepTimeout bounds each wait of the demo.
const stepTimeout = 20 * time.Second

func demo(p cli.Process, f demoFlags) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := startDemo(p, f.verbose)
	if err != nil {
		return fmt.Errorf("cannot start the demo: %w", err)
	}
	defer s.close()
	if err := s.play(ctx); ctx.Err() != nil {
		return exitcode.With(exitcode.Interrupted, errors.New("the demo was interrupted"))
	} else if err != nil {
		s.printLog()
		return fmt.Errorf("the demo stopped: %w", err)
	}
	if f.stay && s.out.Err() == nil {
		s.stay(ctx)
	}
	return s.out.Err()
}

// play runs the demo step by step. What it prints comes from the emulator's journal,
// not from azptend's own log.
func (d *demoRun) play(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.begin, d.firstJob, d.secondJob, d.end} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.printTimes()
	return nil
}

func (d *demoRun) begin(ctx context.Context) error {
	d.print("emulator", "Azure DevOps and an identity endpoint, on %s", d.base)
	d.print("page", "the pool, live, as azptend keep shows it: %s", d.page.url)
	if err := d.start(); err != nil {
		return err
	}
	d.print("azptend", `"azptend run" starts, as a container's entrypoint would`)
	if _, err := d.waitEvent(ctx, emulator.EventTokenIssued); err != nil {
		return err
	}
	d.print("identity", "the managed identity has a token; no PAT anywhere")
	added, err := d.waitEvent(ctx, emulator.EventAgentAdded)
	if err != nil {
		return err
	}
	d.print("register", "agent %q is in pool %q, with id %d", added.Agent, added.Pool, added.AgentID)
	if _, err := d.waitEvent(ctx, emulator.EventSessionCreated); err != nil {
		return err
	}
	d.print("ready", "it listens for jobs")
	return nil
}

const (
	helloScript = "echo hello from a job\nsleep 0.3\necho bye"
	// longScript waits until the drain was printed, because on a busy machine it might end
	// before.
	longScript = "for i in 1 2 3 4 5; do echo step $i of 5; sleep 0.3\n" +
		"[ $i != 2 ] || until [ -e \"$HOME/" + drainPrinted + "\" ]; do sleep 0.05; done; done"
	drainPrinted = "drain-told"
)

func (d *demoRun) firstJob(ctx context.Context) error {
	return d.runJob(ctx, "job 1", emulator.JobSpec{Name: "hello", Script: helloScript}, "", nil)
}

func (d *demoRun) secondJob(ctx context.Context) error {
	spec := emulator.JobSpec{Name: "a longer one", Script: longScript}
	return d.runJob(ctx, "job 2", spec, ", although SIGTERM came in the middle", func() error {
		d.sigtermAt = time.Now()
		d.print("SIGTERM", "the platform wants the container gone; azptend drains")
		return d.child.Signal(syscall.SIGTERM)
	})
}

// runJob queues a job and prints its lines as they come. It calls middle, if that is not nil,
// after the second line.
func (d *demoRun) runJob(ctx context.Context, who string, spec emulator.JobSpec, note string, middle func() error) error {
	queued, err := d.emulator.QueueJob(spec)
	if err != nil {
		return err
	}
	d.print(who, "queued")
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for shown := 0; ; {
		job, log, err := d.emulator.WaitJob(ctx, queued.RequestID, func(job emulator.Job, log string) bool {
			return job.Result != "" || strings.Count(log, "\n") > shown
		})
		if err != nil {
			return fmt.Errorf("%s did not end: %w", who, err)
		}
		shown = d.showLines(log, shown)
		if job.Result != "" {
			d.print(who, "%s%s", job.Result, note)
			if job.Result == "succeeded" {
				return nil
			}
			return fmt.Errorf("%s ended as %s", who, job.Result)
		}
		if middle == nil || shown < 2 {
			continue
		}
		if err := middle(); err != nil {
			return err
		}
		middle = nil
		disabled, err := d.waitEvent(ctx, emulator.EventAgentDisabled)
		if err != nil {
			return err
		}
		d.print("drain", "agent %q is disabled: no further job comes, this one goes on", disabled.Agent)
		if err := os.WriteFile(filepath.Join(d.dir, drainPrinted), nil, 0o600); err != nil {
			return err
		}
	}
}

func (d *demoRun) end(ctx context.Context) error {
	removed, err := d.waitEvent(ctx, emulator.EventAgentRemoved)
	if err != nil {
		return err
	}
	d.removedAt = time.Now()
	d.print("remove", "agent %q is out of its pool", removed.Agent)
	select {
	case <-d.child.Done():
	case <-time.After(stepTimeout):
		return fmt.Errorf("azptend did not end")
	}
	d.print("exit", "azptend ends with %v", d.child.Status())
	if code := d.child.Status().ExitCode(); code != 0 {
		return fmt.Errorf("azptend ended with exit code %d", code)
	}
	left := 0
	for _, pool := range d.emulator.State().Pools {
		left += len(pool.Agents)
		d.print("pool", "%q holds %d agents: no ghost", pool.Name, len(pool.Agents))
	}
	if left != 0 {
		return fmt.Errorf("%d agents are left", left)
	}
	return nil
}

func (d *demoRun) stay(ctx context.Context) {
	d.printf("\nThe emulator stays until Ctrl-C. In another terminal:\n\n")
	for _, v := range d.emulator.Environment(d.base) {
		d.printf("  export %s=%s\n", v.Name, v.Value)
	}
	d.printf("  export AZP_AGENT_DIR=%s\n  %s run\n\n", d.agentDir, d.executable)
	d.printf("  curl -d '{\"script\":\"echo hello\"}' %s/_emulator/jobs   # a job\n", d.base)
	d.printf("  curl %s/_emulator/state                          # the pool\n", d.base)
	d.printf("\nIn a browser: %s\n", d.page.url)
	<-ctx.Done()
}
