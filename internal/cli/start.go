package cli

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/proc"
)

// startEndsWithin is how long the steps before the agents' loops may take to end after
// a signal.
const startEndsWithin = closeTimeout + time.Second

// starting is what `run` does before the agents' loops hear signals. It reads files
// that may be on a file system that does not answer.
type starting struct {
	over chan struct{} // closed when the loops begin
	log  atomic.Pointer[slog.Logger]
}

// begun says that the loops hear signals from now on.
func (s *starting) begun() { close(s.over) }

// run calls do, which starts agents and returns when they have left. If a signal asks
// for the end and do does not get as far as the loops, nor return, it is left behind:
// no agent of this run has been registered.
func (s *starting) run(p Process, heard <-chan proc.Signal, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-s.over:
			return <-done
		case h := <-heard:
			if late == nil && (h.Action == proc.Drain || h.Action == proc.Interrupt) {
				late = time.After(startEndsWithin)
			}
		case <-late:
			s.logger(p).Warn("Left", "exit_code", 0, "why", "asked to end before an agent was started, and a step of the start does not end: a file system does not answer",
				"hint", "check the mounts of AZP_AGENT_DIR, AZP_REGISTERED, AZP_TOKEN_FILE and AZP_CA_FILE")
			return exitcode.Silent(0)
		}
	}
}

// logger is the command's log, or, before the settings were read, one for people.
func (s *starting) logger(p Process) *slog.Logger {
	if log := s.log.Load(); log != nil {
		return log
	}
	return newLog(p.redactor.Writer(p.errors), config.Settings{LogFormat: "text"})
}
