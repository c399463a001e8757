package cli

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/tend"
)

// liveAll lives each agent's life to its end, beside the others. Every life gets
// every signal; none ends another, and none waits for another.
func liveAll(all []tend.Options, init *proc.Init, log *slog.Logger, heard <-chan proc.Heard) tend.End {
	if len(all) == 1 {
		return tend.Run(all[0], heard)
	}
	ends := make([]tend.End, len(all))
	each, stop := proc.Broadcast(heard, len(all))
	var living sync.WaitGroup
	for i, o := range all {
		o.Log = slog.New(&ofAgent{Handler: log.Handler(), agent: o.Name})
		living.Go(func() {
			said := passOn(&o)
			defer said()
			ends[i] = tend.Run(o, each[i])
		})
	}
	living.Wait()
	stop()
	bounded(log, "the processes that the jobs left running", closeWithin, func() { sweep(init, log) })()
	end := tend.Worst(ends)
	log.Info("All agents have left", "agents", len(all), "exit_code", end.Code, "why", end.Why)
	return end
}

// sweepFor bounds the killing of what no agent knows for its own: a job can leave
// a process that hides where it comes from.
const sweepFor = time.Second

func sweep(init *proc.Init, log *slog.Logger) {
	ctx, done := context.WithTimeout(context.Background(), sweepFor)
	defer done()
	if n := init.KillOrphans(ctx); n > 0 {
		log.Info("Killed what the jobs left running", "processes", n)
	}
}

// passOn makes each line that the agent's listener prints one of the log, so that
// it says whose it is; until the returned function is called. Without a pipe the
// listener prints as a single one does.
func passOn(o *tend.Options) (done func()) {
	r, w, err := os.Pipe()
	if err != nil {
		o.Log.Warn("Cannot read what the listener prints: its lines do not say whose they are", "error", err)
		return func() {}
	}
	o.Stdout, o.Stderr = w, w
	log := o.Log
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewReaderSize(r, longestLine)
		for {
			line, _, err := lines.ReadLine() // of a longer one the rest is a line of its own
			if err != nil {
				return
			}
			if len(line) > 0 {
				log.Info("The listener says", "line", string(line))
			}
		}
	}()
	return func() {
		w.Close()
		_ = r.SetReadDeadline(time.Now().Add(time.Second)) // something may have been left that holds the other end
		<-ended
		r.Close()
	}
}

// longestLine bounds a line of the log, in bytes.
const longestLine = 4096

// ofAgent is a log of which each line says whose it is, once.
type ofAgent struct {
	slog.Handler
	agent string
}

func (h *ofAgent) Handle(ctx context.Context, r slog.Record) error {
	says := false
	r.Attrs(func(a slog.Attr) bool { says = a.Key == "agent"; return !says })
	if !says {
		r = r.Clone()
		r.AddAttrs(slog.String("agent", h.agent))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is ofAgent's, or the promoted one would lose the name.
func (h *ofAgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &ofAgent{h.Handler.WithAttrs(attrs), h.agent}
}

// WithGroup is like WithAttrs.
func (h *ofAgent) WithGroup(name string) slog.Handler {
	return &ofAgent{h.Handler.WithGroup(name), h.agent}
}
