//go:build unix

package proc

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/bounded"
)

// Action is what azptend does for a signal.
type Action string

// The actions. Other signals keep Go's default. signal.Notify is never called without a list
// of signals: that would include SIGURG, which Go's scheduler sends to itself dozens of
// times a second.
const (
	Drain     Action = "drain"     // finish the job, then exit
	Interrupt Action = "interrupt" // Ctrl-C: drain; when repeated, cancel the job, kill it, exit
	Forward   Action = "forward"   // pass it on to the listener
	Ignored   Action = "ignored"   // only log it
)

// signalActions maps each signal that azptend handles to its action.
//
// SIGHUP and SIGQUIT would stop the listener at once or cancel its job (agent-protocol.md
// 5.1). For azptend they mean a graceful stop, because that is what an image with the stop
// signal SIGQUIT means by it. SIGUSR1 and SIGUSR2 have no handler in the listener's runtime
// and would kill it during a job, so they are not forwarded.
func signalActions() map[syscall.Signal]Action {
	return map[syscall.Signal]Action{
		syscall.SIGTERM:  Drain,
		syscall.SIGHUP:   Drain,
		syscall.SIGQUIT:  Drain,
		syscall.SIGINT:   Interrupt,
		syscall.SIGWINCH: Forward,
		syscall.SIGCONT:  Forward,
		syscall.SIGUSR1:  Ignored,
		syscall.SIGUSR2:  Ignored,
	}
}

// Signal is one signal that arrived.
type Signal struct {
	Signal syscall.Signal
	Action Action
	At     time.Time // when it arrived; it may be read later
}

// AsksToEnd says that the signal starts a drain.
func (s Signal) AsksToEnd() bool { return s.Action == Drain || s.Action == Interrupt }

// maxQueuedAlike is how many signals of one kind are queued. The fourth SIGINT is the last
// one with an effect of its own. Of other kinds, one would be enough.
const maxQueuedAlike = 4

// Signals distributes the signals that arrive. Each subscriber gets all of them in order,
// independently of the others.
type Signals struct {
	mu          sync.Mutex
	past        []Signal // for later subscribers; at most maxQueuedAlike of each kind
	subscribers map[*subscriber]bool
}

// subscriber has the signals that one reader has not read yet.
type subscriber struct {
	waiting []Signal
	changed chan struct{} // holds a token when a signal was added
}

// CatchSignals catches the signals that azptend handles, until stop is called. It is called
// before any I/O, because without a handler SIGTERM is ignored (as PID 1) or kills azptend.
// Only tests call stop: azptend catches signals until it exits.
func CatchSignals() (s *Signals, stop func()) {
	// SIGPIPE is caught and never read. Otherwise it would kill azptend if the reader of
	// the log exits.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	actions := signalActions()
	if signal.Ignored(syscall.SIGHUP) { // nohup
		delete(actions, syscall.SIGHUP)
	}
	s = &Signals{}
	done := make(chan struct{})
	var receiving sync.WaitGroup
	for sig, action := range actions {
		// Each signal has its own channel: package signal drops signals if a channel is
		// full, and a job can send many of one kind.
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		receiving.Go(func() {
			defer signal.Stop(c)
			for {
				select {
				case <-c:
					s.Add(Signal{sig, action, time.Now()})
				case <-done:
					return
				}
			}
		})
	}
	return s, func() { close(done); receiving.Wait() }
}

// Add is called when a signal has arrived. It never waits for a reader.
func (s *Signals) Add(one Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = appendUnlessMany(s.past, one)
	for r := range s.subscribers {
		r.waiting = appendUnlessMany(r.waiting, one)
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
}

func appendUnlessMany(queue []Signal, one Signal) []Signal {
	alike := 0
	for _, waiting := range queue {
		if waiting.Signal == one.Signal {
			alike++
		}
	}
	if alike >= maxQueuedAlike {
		return queue
	}
	return append(queue, one)
}

// Subscribe returns a channel that gets all signals until ctx ends, also those that arrived
// before. The channel is never closed.
func (s *Signals) Subscribe(ctx context.Context) <-chan Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &subscriber{waiting: slices.Clone(s.past), changed: make(chan struct{}, 1)}
	if s.subscribers == nil {
		s.subscribers = map[*subscriber]bool{}
	}
	s.subscribers[r] = true
	signals := make(chan Signal)
	go func() {
		for ctx.Err() == nil {
			s.mu.Lock()
			var next Signal
			var ready chan<- Signal // nil while there is nothing to read
			if len(r.waiting) > 0 {
				next, ready = r.waiting[0], signals
			}
			s.mu.Unlock()
			select {
			case ready <- next:
				s.mu.Lock()
				r.waiting = r.waiting[1:]
				s.mu.Unlock()
			case <-r.changed:
			case <-ctx.Done():
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, r)
	}()
	return signals
}

// ContextUntilEnd returns a context that ends when a signal asks azptend to end, also one
// that arrived before. asked reports whether one has arrived, and ends the context.
func (s *Signals) ContextUntilEnd() (ctx context.Context, asked func() bool) {
	ctx, cancel := context.WithCancelCause(context.Background())
	received := s.Subscribe(ctx)
	go func() {
		for {
			select {
			case one := <-received:
				if one.AsksToEnd() {
					cancel(errAskedToEnd)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() bool {
		cancel(nil)
		return errors.Is(context.Cause(ctx), errAskedToEnd)
	}
}

var errAskedToEnd = errors.New("a signal asked azptend to end")

// EndOnSignal makes final steps end within the grace period of a signal that asks for the
// end, also if it comes while they are carried out. It reads signals until ctx ends.
func EndOnSignal(ctx context.Context, steps *bounded.FinalSteps, signals <-chan Signal, grace time.Duration) {
	go func() {
		for {
			select {
			case s := <-signals:
				if s.AsksToEnd() {
					steps.EndBy(s.At.Add(grace))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}
