package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/supervisor"
)

// runAll lives each agent's life to its end, beside the others. Every life gets
// every signal; none ends another, and none waits for another.
func runAll(p Process, s config.Settings, all []supervisor.Options, init *proc.Init, log *slog.Logger, heard <-chan proc.Signal, lines supervisor.Group, grace *graceEnd) supervisor.End {
	defer grace.note(lines)
	if len(all) == 1 {
		defer pipeOutput(p, s, &all[0])()
		return supervisor.Run(all[0], heard)
	}
	ends := make([]supervisor.End, len(all))
	each, stop := proc.Broadcast(heard, len(all))
	var living sync.WaitGroup
	for i, o := range all {
		o.Log = slog.New(&agentLogHandler{Handler: log.Handler(), agent: o.Name})
		living.Go(func() {
			defer pipeOutput(p, s, &o)()
			ends[i] = supervisor.Run(o, each[i])
		})
	}
	living.Wait()
	stop()
	grace.note(lines)
	closeWithin(grace, log, "the processes that the jobs left running", closeTimeout, func() { killOrphans(init, log) })()
	end := supervisor.Worst(ends)
	log.Info("All agents have left", "agents", len(all), "exit_code", end.Code, "why", end.Why)
	return end
}

// orphanKillTimeout bounds the killing of what no agent knows for its own: a job can leave
// a process that hides where it comes from.
const orphanKillTimeout = time.Second

func killOrphans(init *proc.Init, log *slog.Logger) {
	ctx, done := context.WithTimeout(context.Background(), orphanKillTimeout)
	defer done()
	if n := init.KillOrphans(ctx); n > 0 {
		log.Info("Killed what the jobs left running", "processes", n)
	}
}

// agentLogHandler is a log of which each line says whose it is, once.
type agentLogHandler struct {
	slog.Handler
	agent string
}

func (h *agentLogHandler) Handle(ctx context.Context, r slog.Record) error {
	says := false
	r.Attrs(func(a slog.Attr) bool { says = a.Key == "agent"; return !says })
	if !says {
		r = r.Clone()
		r.AddAttrs(slog.String("agent", h.agent))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is ofAgent's, or the promoted one would lose the name.
func (h *agentLogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &agentLogHandler{h.Handler.WithAttrs(attrs), h.agent}
}

// WithGroup is like WithAttrs.
func (h *agentLogHandler) WithGroup(name string) slog.Handler {
	return &agentLogHandler{h.Handler.WithGroup(name), h.agent}
}
