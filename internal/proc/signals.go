//go:build unix

package proc

import (
	"maps"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"syscall"
)

// Action is what a signal asks azptend to do.
type Action string

// The actions. A signal without one keeps Go's default. Nothing calls signal.Notify
// without a list: that would bring in SIGURG, which Go's scheduler sends to itself
// dozens of times a second.
const (
	Drain     Action = "drain"     // finish the job, then exit
	Interrupt Action = "interrupt" // a person at the keyboard: drain, and when repeated, insist
	Forward   Action = "forward"   // pass it on to the listener
	Ignored   Action = "ignored"   // only log it
)

// signalActions maps each signal that azptend handles to its action.
//
// SIGHUP and SIGQUIT stop the listener at once or cancel its job (agent-protocol.md
// 5.1). Nobody who sends them to PID 1 of a container wants that: for an image
// whose stop signal is SIGQUIT it means "stop gracefully". SIGUSR1 and SIGUSR2 have
// no handler in the listener's runtime and would kill it during a job, so they are
// not forwarded.
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
}

// CatchSignals catches the signals that azptend handles, until stop is called. A
// PID 1 without a handler ignores SIGTERM or dies of it with Go's own exit code, so
// this comes before any I/O. No signal is lost if the reader is busy, see deliverSignals.
// azptend never calls stop: it catches signals until it exits. Tests do.
func CatchSignals() (signals <-chan Signal, stop func()) {
	// Nothing reads SIGPIPE. It is only caught, because a reader of the log that goes
	// away would end azptend otherwise.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	actions := signalActions()
	if signal.Ignored(syscall.SIGHUP) { // nohup
		delete(actions, syscall.SIGHUP)
	}
	// Each signal has a channel of its own: package signal drops what does not fit,
	// and a job can send many of one kind.
	var caught []chan os.Signal
	for _, sig := range slices.Sorted(maps.Keys(actions)) {
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		caught = append(caught, c)
	}
	each, stopDelivery := deliverSignals(caught, 1, func(s os.Signal) Signal {
		sig := s.(syscall.Signal)
		return Signal{sig, actions[sig]}
	})
	return each[0], func() {
		for _, c := range caught {
			signal.Stop(c)
		}
		stopDelivery()
	}
}

// Broadcast hands each signal to n readers, until stop is called. Each reader gets
// all signals in order, at once, whether or not the others read theirs.
func Broadcast(signals <-chan Signal, n int) (each []<-chan Signal, stop func()) {
	return deliverSignals([]<-chan Signal{signals}, n, func(s Signal) Signal { return s })
}

// maxQueuedAlike is how many signals of one kind wait for a reader. The fourth
// SIGINT is the last that means more than the one before it. One of each other kind
// is enough.
const maxQueuedAlike = 4

// deliverSignals copies what it receives to each of n readers, in order, until stop is
// called. It always receives: what a reader has not read yet waits in a queue, which
// holds at most maxQueuedAlike of each signal.
func deliverSignals[C ~chan T | ~<-chan T, T any](sources []C, n int, signalOf func(T) Signal) (each []<-chan Signal, stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(done)}}
	for _, c := range sources {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)})
	}
	readers, queues := make([]chan Signal, n), make([][]Signal, n)
	for i := range readers {
		readers[i] = make(chan Signal)
		each = append(each, readers[i])
	}
	go func() {
		defer close(stopped)
		for {
			ready := slices.Clone(cases)
			for i, queue := range queues {
				send := reflect.SelectCase{Dir: reflect.SelectSend} // without a channel it is never chosen
				if len(queue) > 0 {
					send.Chan, send.Send = reflect.ValueOf(readers[i]), reflect.ValueOf(queue[0])
				}
				ready = append(ready, send)
			}
			chosen, received, _ := reflect.Select(ready)
			switch sent := chosen - len(cases); {
			case chosen == 0:
				for _, c := range readers {
					close(c)
				}
				return
			case sent >= 0:
				queues[sent] = queues[sent][1:]
			default:
				s := signalOf(received.Interface().(T))
				for i, queue := range queues {
					alike := 0
					for _, waiting := range queue {
						if waiting == s {
							alike++
						}
					}
					if alike < maxQueuedAlike {
						queues[i] = append(queue, s)
					}
				}
			}
		}
	}()
	return each, func() { close(done); <-stopped }
}
