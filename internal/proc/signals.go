//go:build unix

package proc

import (
	"os"
	"os/signal"
	"syscall"
)

// Word is what a signal to azptend means.
type Word string

// The words. Everything not named here keeps Go's default, and nothing is ever
// asked for with a bare signal.Notify: that would bring in SIGURG, by which Go's
// scheduler talks to itself dozens of times a second (style-anchors.md 2.3).
const (
	Drain     Word = "drain"     // finish the job, then leave
	Interrupt Word = "interrupt" // a person at the keyboard: drain, and when repeated, insist
	Forward   Word = "forward"   // the listener's business
	Noted     Word = "noted"     // said in the log, nothing else
)

// words maps each signal that azptend handles to its meaning.
//
// SIGHUP and SIGQUIT end the listener at once or cancel its job
// (agent-protocol.md 5.1), which nobody who sends them to PID 1 of a container
// asks for: images that stop with SIGQUIT mean "stop well". SIGUSR1 and SIGUSR2
// have no handler in the listener's runtime and would kill it in the middle of a
// job, so they are noted and not forwarded.
func words() map[os.Signal]Word {
	return map[os.Signal]Word{
		syscall.SIGTERM:  Drain,
		syscall.SIGHUP:   Drain,
		syscall.SIGQUIT:  Drain,
		syscall.SIGINT:   Interrupt,
		syscall.SIGWINCH: Forward,
		syscall.SIGCONT:  Forward,
		syscall.SIGUSR1:  Noted,
		syscall.SIGUSR2:  Noted,
	}
}

// Heard is one signal that arrived.
type Heard struct {
	Signal syscall.Signal
	Word   Word
}

// Listen catches the signals that azptend understands, from this call until
// stop is called. A PID 1 without a handler ignores SIGTERM or dies of it with
// Go's own code, so it comes before any I/O.
func Listen() (heard <-chan Heard, stop func()) {
	meaning := words()
	raw := make(chan os.Signal, 16)
	for sig := range meaning {
		if sig == syscall.SIGHUP && signal.Ignored(sig) { // nohup
			continue
		}
		signal.Notify(raw, sig)
	}
	// Nobody reads this one: it only keeps a reader of our log who goes away from
	// taking the agent along, as an unhandled SIGPIPE on stdout would.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	out := make(chan Heard, 16)
	done := make(chan struct{})
	go func() {
		defer close(out)
		for {
			select {
			case sig := <-raw:
				h := Heard{Signal: sig.(syscall.Signal), Word: meaning[sig]}
				select {
				case out <- h:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(raw); close(done) }
}
