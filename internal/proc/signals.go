//go:build unix

package proc

import (
	"os"
	"os/signal"
	"syscall"
)

// Action is what a signal to azptend means.
type Action string

// The words. Everything not named here keeps Go's default, and nothing is ever
// asked for with a bare signal.Notify: that would bring in SIGURG, by which Go's
// scheduler talks to itself dozens of times a second.
const (
	Drain     Action = "drain"     // finish the job, then leave
	Interrupt Action = "interrupt" // a person at the keyboard: drain, and when repeated, insist
	Forward   Action = "forward"   // the listener's business
	Ignored   Action = "noted"     // said in the log, nothing else
)

// signalActions maps each signal that azptend handles to its meaning.
//
// SIGHUP and SIGQUIT end the listener at once or cancel its job
// (agent-protocol.md 5.1), which nobody who sends them to PID 1 of a container
// asks for: images that stop with SIGQUIT mean "stop well". SIGUSR1 and SIGUSR2
// have no handler in the listener's runtime and would kill it in the middle of a
// job, so they are noted and not forwarded.
func signalActions() map[os.Signal]Action {
	return map[os.Signal]Action{
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
}

// CatchSignals catches the signals that azptend understands, from this call until
// stop is called. A PID 1 without a handler ignores SIGTERM or dies of it with
// Go's own code, so it comes before any I/O. No signal is lost to a reader that is
// busy; see relay.
func CatchSignals() (heard <-chan Signal, stop func()) {
	// Nobody reads this one: it only keeps a reader of our log who goes away from
	// taking the agent along, as an unhandled SIGPIPE on stdout would.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	caught, done := make(chan Signal), make(chan struct{})
	var raws []chan os.Signal
	for sig, word := range signalActions() {
		if sig == syscall.SIGHUP && signal.Ignored(sig) { // nohup
			continue
		}
		// Each signal has a channel of its own: package signal drops what does not
		// fit, and a job can send many of one kind.
		raw := make(chan os.Signal, 1)
		signal.Notify(raw, sig)
		raws = append(raws, raw)
		go func() {
			for {
				select {
				case <-raw:
				case <-done:
					return
				}
				select {
				case caught <- Signal{Signal: sig.(syscall.Signal), Action: word}:
				case <-done:
					return
				}
			}
		}()
	}
	return relay(caught, done), func() {
		for _, raw := range raws {
			signal.Stop(raw)
		}
		close(done)
	}
}

// Broadcast hands each signal to n readers, until stop is called. Each reader gets
// all signals in order, at once, whether or not the others read theirs.
func Broadcast(heard <-chan Signal, n int) (each []<-chan Signal, stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	var to []chan<- Signal
	for range n {
		in := make(chan Signal)
		to, each = append(to, in), append(each, relay(in, done))
	}
	go func() {
		defer close(stopped)
		for {
			select {
			case h := <-heard:
				for _, in := range to {
					select { // a relay always receives
					case in <- h:
					case <-done:
					}
				}
			case <-done:
				return
			}
		}
	}()
	return each, func() { close(done); <-stopped }
}

// maxQueuedAlike is how many signals of one kind wait for a reader. The fourth SIGINT is
// the last that means more than the one before it, and of all others one is enough.
const maxQueuedAlike = 4

// relay copies in to the channel that it returns, in order, until done is closed.
// It always receives from in: what nobody has read yet waits here, at most
// mostAlike of each signal.
func relay(in <-chan Signal, done <-chan struct{}) <-chan Signal {
	out := make(chan Signal)
	go func() {
		defer close(out)
		var waiting []Signal
		for {
			var next Signal
			var to chan<- Signal
			if len(waiting) > 0 {
				next, to = waiting[0], out
			}
			select {
			case h := <-in:
				alike := 0
				for _, w := range waiting {
					if w == h {
						alike++
					}
				}
				if alike < maxQueuedAlike {
					waiting = append(waiting, h)
				}
			case to <- next:
				waiting = waiting[1:]
			case <-done:
				return
			}
		}
	}()
	return out
}
