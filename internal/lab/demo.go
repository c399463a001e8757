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
		Short: "Show the whole life of an agent on this machine, without Azure",
		Long: `Show the whole life of an agent on this machine, without Azure: an emulated
Azure DevOps and identity endpoint, "azptend run" as a container would start it,
two jobs, a SIGTERM in the middle of the second, and an empty pool at the end.

The agent is a fake one; everything else is the real thing.`,
		RunE: func(*cobra.Command, []string) error { return demo(p, f) },
	}
	c.Flags().BoolVar(&f.stay, "stay", false, "keep the emulator alive at the end, to look around")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "show azptend's own log")
	return c
}

// demoPatience bounds each thing the demo waits for.
const demoPatience = 20 * time.Second

func demo(p cli.Process, f demoFlags) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := raiseStage(p, f.verbose)
	if err != nil {
		return fmt.Errorf("cannot begin the demo: %w", err)
	}
	defer s.strike()
	if err := s.play(ctx); ctx.Err() != nil {
		return exitcode.With(exitcode.Interrupted, errors.New("the demo was interrupted"))
	} else if err != nil {
		s.tellLog()
		return fmt.Errorf("the demo stopped: %w", err)
	}
	if f.stay && s.out.Err() == nil {
		s.stay(ctx)
	}
	return s.out.Err()
}

// play is the whole life, act by act. What it tells comes from the emulator's
// journal, not from what azptend says of itself.
func (s *stage) play(ctx context.Context) error {
	for _, act := range []func(context.Context) error{
		s.begin, s.firstJob, s.secondJob, s.end,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	s.tellTimes()
	return nil
}

func (s *stage) begin(ctx context.Context) error {
	s.tell("emulator", "Azure DevOps and an identity endpoint, on %s", s.base)
	s.tell("page", "the pool, live, as azptend keep shows it: %s", s.page.url())
	if err := s.start(); err != nil {
		return err
	}
	s.tell("azptend", `"azptend run" starts, as a container's entrypoint would`)
	if _, err := s.await(ctx, emulator.EventTokenIssued); err != nil {
		return err
	}
	s.tell("identity", "the managed identity has a token; no PAT anywhere")
	added, err := s.await(ctx, emulator.EventAgentAdded)
	if err != nil {
		return err
	}
	s.tell("register", "agent %q is in pool %q, with id %d", added.Agent, added.Pool, added.AgentID)
	if _, err := s.await(ctx, emulator.EventSessionCreated); err != nil {
		return err
	}
	s.tell("ready", "it listens for jobs")
	return nil
}

const (
	helloScript = "echo hello from a job\nsleep 0.3\necho bye"
	// longScript stays in its middle until the drain was told: on a busy machine it
	// might be over before.
	longScript = "for i in 1 2 3 4 5; do echo step $i of 5; sleep 0.3\n" +
		"[ $i != 2 ] || until [ -e \"$HOME/" + drainTold + "\" ]; do sleep 0.05; done; done"
	drainTold = "drain-told"
)

func (s *stage) firstJob(ctx context.Context) error {
	job, err := s.emulator.QueueJob(emulator.JobSpec{Name: "hello", Script: helloScript})
	if err != nil {
		return err
	}
	s.tell("job 1", "queued")
	return s.awaitJob(ctx, job.RequestID, "job 1", "", nil)
}

func (s *stage) secondJob(ctx context.Context) error {
	job, err := s.emulator.QueueJob(emulator.JobSpec{Name: "a longer one", Script: longScript})
	if err != nil {
		return err
	}
	s.tell("job 2", "queued")
	return s.awaitJob(ctx, job.RequestID, "job 2", ", although SIGTERM came in the middle", func() error {
		s.asked = time.Now()
		s.tell("SIGTERM", "the platform wants the container gone; azptend drains")
		return s.child.Signal(syscall.SIGTERM)
	})
}

// awaitJob shows a job's lines as they come. In its middle, after its second
// line, something may happen.
func (s *stage) awaitJob(ctx context.Context, id int64, who, note string, middle func() error) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	shown := 0
	for {
		job, log, err := s.emulator.WaitJob(ctx, id, func(job emulator.Job, log string) bool {
			return job.Result != "" || strings.Count(log, "\n") > shown
		})
		if err != nil {
			return fmt.Errorf("%s did not end: %w", who, err)
		}
		shown = s.showLines(log, shown)
		if job.Result != "" {
			return s.judgeJob(job, who, note)
		}
		if middle == nil || shown < 2 {
			continue
		}
		if err := middle(); err != nil {
			return err
		}
		middle = nil
		disabled, err := s.await(ctx, emulator.EventAgentDisabled)
		if err != nil {
			return err
		}
		s.tell("drain", "agent %q is disabled: no further job comes, this one goes on", disabled.Agent)
		if err := os.WriteFile(filepath.Join(s.dir, drainTold), nil, 0o600); err != nil {
			return err
		}
	}
}

func (s *stage) judgeJob(job emulator.Job, who, note string) error {
	s.tell(who, "%s%s", job.Result, note)
	if job.Result != "succeeded" {
		return fmt.Errorf("%s ended as %s", who, job.Result)
	}
	return nil
}

func (s *stage) end(ctx context.Context) error {
	removed, err := s.await(ctx, emulator.EventAgentRemoved)
	if err != nil {
		return err
	}
	s.removed = time.Now()
	s.tell("remove", "agent %q is out of its pool", removed.Agent)
	select {
	case <-s.child.Done():
	case <-time.After(demoPatience):
		return fmt.Errorf("azptend did not end")
	}
	s.tell("exit", "azptend ends with %v", s.child.Status())
	if code := s.child.Status().ExitCode(); code != 0 {
		return fmt.Errorf("azptend ended with exit code %d", code)
	}
	left := 0
	for _, pool := range s.emulator.State().Pools {
		left += len(pool.Agents)
		s.tell("pool", "%q holds %d agents: no ghost", pool.Name, len(pool.Agents))
	}
	if left != 0 {
		return fmt.Errorf("%d agents are left", left)
	}
	return nil
}

func (s *stage) stay(ctx context.Context) {
	s.sayf("\nThe emulator stays until Ctrl-C. In another terminal:\n\n")
	for _, v := range s.emulator.Environment(s.base) {
		s.sayf("  export %s=%s\n", v.Name, v.Value)
	}
	s.sayf("  export AZP_AGENT_DIR=%s\n  %s run\n\n", s.agentDir, s.executable)
	s.sayf("  curl -d '{\"script\":\"echo hello\"}' %s/_emulator/jobs   # a job\n", s.base)
	s.sayf("  curl %s/_emulator/state                          # the pool\n", s.base)
	s.sayf("\nIn a browser: %s\n", s.page.url())
	<-ctx.Done()
}
